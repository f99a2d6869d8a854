import { type KeyObject, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { CountersignError, messageOf } from '@countersign/base';
import {
  attributeOf,
  buildCertificateRequest,
  type CertificateRequest,
  certificateRequestFromPem,
  formatIpAddress,
  generateKeyPair,
  type KeyKind,
  keyKindOf,
  keySigner,
  parseCertificateRequest,
} from '@countersign/x509';
import type { UsageWish } from '../../profile/narrow-usages.ts';
import type { PkiMount } from '../mounts.ts';
import { leaseKey } from '../sys/lease-routes.ts';
import type { VaultAnswer, VaultCall } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import {
  type FieldTable,
  get,
  ignoredParameters,
  readFields,
  type Values,
} from '../vault-fields.ts';
import { badRequest, refusal, refusedByAuthority, type VaultRefusal } from '../vault-refusal.ts';
import { type CertificateAnswer, certificateAnswer, formats } from './certificate-answer.ts';
import { type AskedNames, judgeRoleNames, usagesOfRole } from './judge-role.ts';
import { issuerBy } from './mount-issuers.ts';
import { cutWarning, timeOf, wrongTime } from './role-fields.ts';
import { issueFields, signFields, verbatimFields } from './sign-fields.ts';

export type Way = 'sign' | 'issue' | 'sign-verbatim';

const tables: Readonly<Record<Way, FieldTable>> = {
  sign: signFields,
  issue: issueFields,
  'sign-verbatim': verbatimFields,
};

/**
 * One certificate for a caller whose token may ask: by a role, which narrows what ca.yaml allows, or verbatim. It is
 * issued by the one flow; what is refused there is answered as it stands.
 */
export async function signFor(
  context: VaultContext,
  call: VaultCall,
  mount: PkiMount,
  way: Way,
): Promise<VaultAnswer | VaultRefusal> {
  // 1. What is asked, and by which role.
  const read = readFields(tables[way], call.body);
  if (!read.ok) return read;
  const { values } = read;
  const format = formats.find((each) => each === get.text(values, 'format'));
  if (format === undefined) {
    return badRequest('the "format" path parameter must be "pem", "der", or "pem_bundle"');
  }
  const named = call.names.role ?? (way === 'sign-verbatim' ? undefined : get.text(values, 'role'));
  const role = named === undefined ? undefined : await roleOf(context, mount, named);
  if (named !== undefined && role === undefined && way !== 'sign-verbatim') {
    return badRequest(`unknown role: ${named.slice(0, 100)}`);
  }

  // 2. A request: the caller's, or one for a key that is made here and given out with the certificate.
  const request = way === 'issue' ? await ownRequest(role ?? {}) : sentRequest(values);
  if (!request.ok) return request;
  const unfit = way === 'sign' ? wrongWithKey(request.csr, role ?? {}) : undefined;
  if (unfit !== undefined) return unfit;

  // 3. Which names, and whether the role allows them.
  const asked =
    way === 'sign-verbatim'
      ? namesOfRequest(request.csr)
      : namesAsked(values, request.csr, role ?? {}, way);
  if (way !== 'sign-verbatim') {
    const lacking = asked.commonName === undefined && get.bool(role ?? {}, 'require_cn');
    if (lacking) return badRequest(commonNameNeeded);
    const refused = judgeRoleNames(role ?? {}, asked);
    if (refused !== undefined) return refused;
  }
  if (asked.uris.length > 1) return badRequest('a certificate has one URI, its SPIFFE ID');

  // 4. For how long, by which issuer.
  const lifetime = lifetimeOf(values, role, mount, context);
  if (!lifetime.ok) return lifetime;
  const ref = issuerRefOf(call, values, role);
  const issuer = await issuerBy(context, mount, ref);
  if (!('chain' in issuer)) return issuer;
  if (issuer.revokedAt !== undefined) return badRequest('the issuer is revoked, it signs no more');
  const opened = await issuer.open?.();
  if (opened === undefined)
    return badRequest(`the key of issuer "${ref.slice(0, 100)}" is not here`);

  // 5. Issued by the one flow.
  const { token } = call.caller ?? {};
  const { commonName, dns, ip } = alternatives(asked, get.bool(values, 'exclude_cn_from_sans'));
  const usages: UsageWish | undefined =
    way === 'sign-verbatim' || role === undefined ? undefined : usagesOfRole(role);
  const caller = `vault:${token?.who ?? ''}`;
  const order = { holder: caller, ...(call.left !== undefined && { left: call.left }) };
  const issued = await context.line.serve(order, () =>
    context.authority.doors.vouch(
      {
        csr: request.csr.raw,
        ...{ commonName, dns, ip, spiffeId: asked.uris[0], ttlMs: lifetime.ttlMs, usages },
        issuer: opened.name,
        provisioner: mount.provisioner,
        caller,
        evidence: `vault ${call.path} by token ${token?.accessor ?? ''}`,
      },
      mount.configured === undefined ? [opened] : undefined,
    ),
  );
  if (!issued.ok) return refusedByAuthority(issued);

  // 6. As clients read it.
  const key =
    request.key === undefined
      ? undefined
      : { key: request.key, isPkcs8: get.text(values, 'private_key_format') === 'pkcs8' };
  const answer: CertificateAnswer = {
    ...{ der: issued.chain[0], above: issuer.chain, format, key },
    withoutRoot: get.bool(values, 'remove_roots_from_chain'),
  };
  const data = certificateAnswer(answer);
  const lease =
    role !== undefined && get.bool(role, 'generate_lease')
      ? await makeLease(context, call, mount, issued)
      : undefined;
  const ignored = ignoredByRole(values, role ?? {}, way, read.given);
  return {
    ok: true,
    data,
    lease,
    warnings: [...ignored, ...lifetime.warnings, ...ignoredParameters(read.unknown)],
  };
}

const commonNameNeeded =
  'the common_name field is required, or must be provided in a CSR with "use_csr_common_name" set to true, ' +
  'unless "require_cn" is set to false';

export async function roleOf(
  { store }: VaultContext,
  { record }: PkiMount,
  name: string,
): Promise<Values | undefined> {
  return (await store.find('vault-role', `${record.uuid}.${name}`))?.value.values;
}

type Request =
  | { readonly ok: true; readonly csr: CertificateRequest; readonly key?: KeyObject }
  | VaultRefusal;

function sentRequest(values: Values): Request {
  const pem = get.text(values, 'csr');
  if (pem === '') return badRequest('"csr" is empty');
  if (!pem.includes('-----BEGIN')) return badRequest('csr contains no data');
  try {
    return { ok: true, csr: certificateRequestFromPem(pem) };
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return badRequest(
      `certificate request could not be parsed: ${messageOf(thrown).slice(0, 200)}`,
    );
  }
}

/** Its key is the caller's from then on: nothing of it stays here. */
async function ownRequest(role: Values): Promise<Request> {
  const kind = keyKindOfRole(role);
  if (kind === undefined) {
    const type = get.text(role, 'key_type');
    return badRequest(`role key type "${type}" not allowed for issuing certificates, only signing`);
  }
  const { privateKey } = await generateKeyPair(kind);
  const pkcs10 = await buildCertificateRequest({ signer: keySigner(privateKey) });
  return { ok: true, csr: parseCertificateRequest(pkcs10), key: privateKey };
}

function keyKindOfRole(role: Values): KeyKind | undefined {
  const bits = get.number(role, 'key_bits');
  const kinds: Readonly<Record<string, KeyKind>> = {
    rsa: { type: 'RSA', bits },
    ec: { type: 'EC', curve: `P-${bits}` as 'P-256' },
    ed25519: { type: 'Ed25519' },
  };
  return kinds[get.text(role, 'key_type')];
}

function wrongWithKey({ spki }: CertificateRequest, role: Values): VaultRefusal | undefined {
  const wanted = get.text(role, 'key_type');
  const found = keyKindOf(spki);
  if (wanted === 'any') return undefined;
  const types: Readonly<Record<string, string>> = { RSA: 'rsa', EC: 'ec', Ed25519: 'ed25519' };
  if (types[found?.type ?? ''] !== wanted) {
    return refusal('ERR_VAULT_ROLE', 400, `role requires keys of type ${wanted}`);
  }
  const bits = get.number(role, 'key_bits');
  const size =
    found?.type === 'RSA' ? found.bits : found?.type === 'EC' ? Number(found.curve.slice(2)) : bits;
  if (size >= bits) return undefined;
  const sides = `role requires a minimum of a ${bits}-bit key, but CSR's key is ${size} bits`;
  return refusal('ERR_VAULT_ROLE', 400, sides);
}

function namesOfRequest(csr: CertificateRequest): AskedNames {
  const of = (kind: 'dns' | 'uri'): string[] =>
    csr.subjectAltNames.flatMap((each) => (each.kind === kind ? [each.value] : []));
  const ip = csr.subjectAltNames.flatMap((each) =>
    each.kind === 'ip' ? [formatIpAddress(each.bytes)] : [],
  );
  const commonName = attributeOf(csr.subject, 'CN') || undefined;
  return { commonName, dns: of('dns'), ip, uris: of('uri'), from: 'CSR' };
}

/** A role takes names from the request, or from beside it. */
function namesAsked(values: Values, csr: CertificateRequest, role: Values, way: Way): AskedNames {
  const sent = namesOfRequest(csr);
  const beside: AskedNames = {
    commonName: get.text(values, 'common_name') || undefined,
    dns: get.list(values, 'alt_names'),
    ip: get.list(values, 'ip_sans'),
    uris: get.list(values, 'uri_sans'),
    from: 'the API',
  };
  if (way === 'issue') return beside;
  const isSent = get.bool(role, 'use_csr_common_name');
  const commonName = (isSent ? sent.commonName : undefined) ?? beside.commonName;
  const names = get.bool(role, 'use_csr_sans') ? sent : beside;
  return { ...names, commonName };
}

/** The common name is an alternative name too, unless it is to stay out of them. */
function alternatives({ commonName, dns, ip }: AskedNames, isApart: boolean) {
  if (commonName === undefined || isApart) return { commonName, dns, ip };
  const isAddress = isIP(commonName) !== 0;
  return {
    commonName,
    dns: isAddress ? dns : [commonName, ...dns],
    ip: isAddress ? [commonName, ...ip] : ip,
  };
}

type Lifetime =
  | { readonly ok: true; readonly ttlMs: number | undefined; readonly warnings: readonly string[] }
  | VaultRefusal;

function lifetimeOf(
  values: Values,
  role: Values | undefined,
  { record }: PkiMount,
  { authority, clock }: VaultContext,
): Lifetime {
  const { services, profiles } = authority.config;
  const longest = Math.max(services.maxValidityMs, ...profiles.map((each) => each.lifetime.maxMs));
  const roleMs = (name: string) => 1000 * get.number(role ?? {}, name);
  const bounds = [longest, record.maxLeaseMs, roleMs('max_ttl')].filter((each) => each > 0);
  const maxMs = Math.min(...bounds);
  const ttlMs = 1000 * get.number(values, 'ttl');
  const end = get.text(values, 'not_after') || get.text(role ?? {}, 'not_after');
  if (end !== '') {
    if (ttlMs > 0) {
      return badRequest(
        'Either ttl or not_after should be provided. Both should not be provided in the same request.',
      );
    }
    const at = timeOf(end);
    if (at === undefined) return badRequest(wrongTime(end));
    const asked = at - clock.now();
    if (asked < 1000) return badRequest(`"not_after" ${end} is over`);
    if (asked <= maxMs) return { ok: true, ttlMs: asked, warnings: [] };
    return badRequest(
      `"not_after" ${end} is later than what is allowed, at most ${maxMs / 1000}s from now`,
    );
  }
  const wanted = ttlMs || roleMs('ttl') || record.defaultLeaseMs;
  if (wanted <= maxMs) {
    const usual = Math.min(maxMs, services.validityMs);
    return {
      ok: true,
      ttlMs: wanted || (usual < services.validityMs ? usual : undefined),
      warnings: [],
    };
  }
  return { ok: true, ttlMs: maxMs, warnings: [cutWarning(wanted, maxMs)] };
}

function issuerRefOf(call: VaultCall, values: Values, role: Values | undefined): string {
  if (call.names.ref !== undefined) return call.names.ref;
  const asked = get.text(values, 'issuer_ref');
  return asked !== '' && asked !== 'default'
    ? asked
    : get.text(role ?? {}, 'issuer_ref') || 'default';
}

async function makeLease(
  { store, clock }: VaultContext,
  call: VaultCall,
  mount: PkiMount,
  issued: { readonly serialHex: string; readonly notAfter: number },
) {
  const id = `${call.path}/${randomBytes(18).toString('base64url')}`;
  const { serialHex, notAfter } = issued;
  const issuedAt = clock.now();
  const record = { id, serialHex, mount: mount.record.uuid, issuedAt, expiresAt: notAfter };
  await store.put('vault-lease', leaseKey(id), record, { expiresAt: notAfter });
  return { id, seconds: Math.max(0, Math.floor((notAfter - issuedAt) / 1000)) };
}

/** What the request says beside the names that the role takes from elsewhere. */
function ignoredByRole(
  values: Values,
  role: Values,
  way: Way,
  given: ReadonlySet<string>,
): string[] {
  if (way !== 'sign') return [];
  const warnings: string[] = [];
  if (get.bool(role, 'use_csr_common_name') && get.text(values, 'common_name') !== '') {
    warnings.push(
      'the common_name field was provided but the role is set with "use_csr_common_name" set to true',
    );
  }
  if (
    get.bool(role, 'use_csr_sans') &&
    given.has('alt_names') &&
    get.list(values, 'alt_names').length > 0
  ) {
    warnings.push(
      'the alt_names field was provided but the role is set with "use_csr_sans" set to true',
    );
  }
  return warnings;
}
