import { CountersignError, equalBytes, messageOf } from '@countersign/base';
import {
  attributeOf,
  type Certificate,
  certificatesFromPem,
  formatGeneralName,
  validatePath,
} from '@countersign/x509';
import { globMatches } from '../../policy/text-glob.ts';
import { formatSerial } from '../pki/certificate-answer.ts';
import type { VaultCall, VaultRoute } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { field, get, readFields, type Values } from '../vault-fields.ts';
import type { AuthRecord } from '../vault-objects.ts';
import { badRequest, type VaultRefusal } from '../vault-refusal.ts';
import { authRole, roleRoutesOf } from './auth-roles.ts';
import { logIn, type Proved, wrongCredential } from './log-in.ts';

const noResponder =
  'certificates of this authority are looked up in its ledger, others have their lists elsewhere';
const roleFields = {
  certificate: field.text('', 'Authorities, or one very certificate, in PEM.'),
  display_name: field.text('', 'A name for people.'),
  allowed_names: field.list([], 'Common names or alternative names, with "*".'),
  allowed_common_names: field.list([], 'Common names, with "*".'),
  allowed_dns_sans: field.list([], 'DNS names, with "*".'),
  allowed_email_sans: field.list([], 'Mail addresses, with "*".'),
  allowed_uri_sans: field.list([], 'URIs, with "*".'),
  allowed_organizational_units: field.list([], 'Organisational units, with "*".'),
  required_extensions: field.only(field.list([], 'Extensions.'), 'names decide'),
  allowed_metadata_extensions: field.only(
    field.list([], 'Extensions that are shown.'),
    'names are shown',
  ),
  ocsp_enabled: field.only(field.bool(false, 'Asks a responder.'), noResponder),
  ocsp_ca_certificates: field.only(field.text('', 'Of a responder.'), noResponder),
  ocsp_servers_override: field.only(field.list([], 'Of a responder.'), noResponder),
  ocsp_fail_open: field.only(field.bool(false, 'Of a responder.'), noResponder),
  ocsp_query_all_servers: field.only(field.bool(false, 'Of a responder.'), noResponder),
} as const;

const loginFields = { name: field.text('', 'The role; whichever fits unless given.') } as const;
const mostRoles = 100;

/** Below a mount of type `cert`. */
export const certLoginRoutes: readonly VaultRoute<AuthRecord>[] = [
  {
    path: 'login',
    help: 'A token for the certificate that the TLS client has shown.',
    fields: loginFields,
    open: ['update'],
    on: { update: login },
  },
  ...roleRoutesOf({
    path: 'certs',
    help: 'Which certificates may log in.',
    fields: roleFields,
    shown: [
      'certificate',
      'display_name',
      'allowed_names',
      'allowed_common_names',
      'allowed_dns_sans',
      'allowed_email_sans',
      'allowed_uri_sans',
      'allowed_organizational_units',
      'required_extensions',
    ],
    wrong(values) {
      const read = certificatesIn(get.text(values, 'certificate'));
      return typeof read === 'string' ? badRequest('failed to parse certificate') : undefined;
    },
  }),
];

async function login(context: VaultContext, call: VaultCall, method: AuthRecord) {
  const read = readFields(loginFields, call.body);
  if (!read.ok) return read;
  const chain = call.shown();
  if (chain.length === 0) return badRequest('no client certificate found');
  const name = get.text(read.values, 'name');
  return await logIn(context, call, method, () => prove(context, method, chain, name));
}

async function prove(
  context: VaultContext,
  method: AuthRecord,
  chain: readonly Certificate[],
  asked: string,
): Promise<Proved | VaultRefusal> {
  const [leaf] = chain;
  if (leaf === undefined) return badRequest('no client certificate found');
  const reasons: string[] = [];
  for (const name of asked === '' ? await roleNames(context, method) : [asked]) {
    const role = await authRole(context, method, name);
    const wrong =
      role === undefined
        ? 'there is no such role'
        : await wrongWithCertificate(context, role, chain);
    if (role !== undefined && wrong === undefined) return provedBy(leaf, role, name);
    reasons.push(`role "${name}": ${wrong}`);
  }
  const operator = `certificate "${leaf.serialHex}" fits no role: ${reasons.slice(0, 5).join('; ') || 'there are none'}`;
  return wrongCredential('invalid certificate or no client certificate supplied', operator);
}

function provedBy(leaf: Certificate, role: Values, name: string): Proved {
  const commonName = attributeOf(leaf.subject, 'CN') ?? '';
  return {
    ok: true,
    role,
    who: name,
    meta: {
      cert_name: name,
      common_name: commonName,
      serial_number: formatSerial(leaf.serialHex),
      subject_key_id: colons(leaf.subjectKeyId),
      authority_key_id: colons(leaf.authorityKeyId?.keyId),
    },
  };
}

async function roleNames({ store }: VaultContext, { uuid }: AuthRecord): Promise<string[]> {
  const all = await store.all('vault-auth-role', uuid, ({ name }) => `${uuid}.${name}`);
  return all.slice(0, mostRoles).map(({ name }) => name);
}

async function wrongWithCertificate(
  { authority, clock }: VaultContext,
  role: Values,
  [leaf, ...intermediates]: readonly Certificate[],
): Promise<string | undefined> {
  const anchors = certificatesIn(get.text(role, 'certificate'));
  if (typeof anchors === 'string' || leaf === undefined) return 'it has no certificates';
  const at = clock.now();
  if (anchors.some((each) => equalBytes(each.raw, leaf.raw))) {
    if (at < leaf.notBefore || at > leaf.notAfter) return 'the certificate is not valid now';
  } else {
    // A resumed session shows the leaf alone; what is above one of ours is known here.
    const own = authority.publishers().map((each) => each.certificate);
    const path = validatePath({
      ...{ leaf, anchors, at, purpose: 'client' },
      intermediates: [...intermediates, ...own],
    });
    if (!path.ok) return path.detail;
  }
  // What this authority has issued is asked about where it is revoked.
  const status = await authority.ledger.certificateStatus(leaf.serialHex);
  if (status.status === 'revoked') return 'the certificate is revoked';
  return wrongWithNames(leaf, role);
}

function wrongWithNames(leaf: Certificate, role: Values): string | undefined {
  const commonNames = [attributeOf(leaf.subject, 'CN') ?? []].flat();
  const units = [attributeOf(leaf.subject, 'OU') ?? []].flat();
  const of = (kind: 'dns' | 'email' | 'uri') =>
    leaf.subjectAltNames.flatMap((each) =>
      each.kind === kind ? [formatGeneralName(each).slice(kind.length + 1)] : [],
    );
  const found: Readonly<Record<string, readonly string[]>> = {
    allowed_names: [...commonNames, ...of('dns'), ...of('email')],
    allowed_common_names: commonNames,
    allowed_dns_sans: of('dns'),
    allowed_email_sans: of('email'),
    allowed_uri_sans: of('uri'),
    allowed_organizational_units: units,
  };
  for (const [field, names] of Object.entries(found)) {
    const allowed = get.list(role, field);
    if (allowed.length === 0) continue;
    const fits = names.some((name) => allowed.some((each) => globMatches(each, name)));
    if (!fits) return `none of "${names.join('", "').slice(0, 200)}" is in "${field}"`;
  }
  return undefined;
}

/** A text: what is wrong. */
function certificatesIn(pem: string): readonly Certificate[] | string {
  try {
    return certificatesFromPem(pem);
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return messageOf(thrown);
  }
}

function colons(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? '' : formatSerial(Buffer.from(bytes).toString('hex'));
}
