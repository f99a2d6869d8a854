import { toBase64 } from '@countersign/base';
import { buildCertificateRequest, encodePem, extension } from '@countersign/x509';
import { draftRoot } from '../../draft.ts';
import { subjectName } from '../../subject-name.ts';
import type { PkiMount } from '../mounts.ts';
import type { Handler, VaultAnswer, VaultCall, VaultRoute } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { get, ignoredParameters, readFields } from '../vault-fields.ts';
import { badRequest, unsupported, type VaultRefusal } from '../vault-refusal.ts';
import { askedAuthority, authorityConfig, factsOf, rootPathLength } from './asked-authority.ts';
import { certificateAnswer } from './certificate-answer.ts';
import { intermediateFields, requestFields, rootFields } from './generate-fields.ts';
import { importCertificates } from './import-certificates.ts';
import { certifyFor, keepIssuer, ledgerNameFor, withoutUrls } from './keep-issuer.ts';
import { pemOf } from './mount-issuers.ts';
import { signIntermediate } from './sign-intermediate.ts';

/** Of a mount: an authority of its own, and certificates of authorities below. */
export const generateRoutes: readonly VaultRoute<PkiMount>[] = [
  ...['root/generate/:exported', 'issuers/generate/root/:exported', 'root/rotate/:exported'].map(
    (path): VaultRoute<PkiMount> => ({
      path,
      help: 'Makes the root of the mount, whose key stays here.',
      fields: rootFields,
      on: { update: ofMade(generateRoot) },
    }),
  ),
  ...['intermediate/generate/:exported', 'issuers/generate/intermediate/:exported'].map(
    (path): VaultRoute<PkiMount> => ({
      path,
      help: 'Makes the key of an intermediate, and the request for its certificate.',
      fields: requestFields,
      on: { update: ofMade(generateRequest) },
    }),
  ),
  ...['intermediate/set-signed', 'issuers/import/cert', 'issuers/import/bundle', 'config/ca'].map(
    (path): VaultRoute<PkiMount> => ({
      path,
      help: 'Takes the certificates of an intermediate whose key was made here.',
      on: { update: importCertificates },
    }),
  ),
  ...['root/sign-intermediate', 'issuer/:ref/sign-intermediate'].map(
    (path): VaultRoute<PkiMount> => ({
      path,
      help: 'Signs the certificate of an authority below.',
      fields: intermediateFields,
      on: { update: signIntermediate },
    }),
  ),
  {
    path: 'root',
    help: 'Removes all issuers and keys of the mount.',
    sudo: ['delete'],
    on: { delete: removeAll },
  },
];

/** Keys are made where the mount was made over the API, and stay here. */
function ofMade(then: Handler<PkiMount>): Handler<PkiMount> {
  return function generate(context, call, mount) {
    const { exported = '' } = call.names;
    if (exported !== 'internal') {
      return unsupported(
        exported.slice(0, 40),
        'keys of authorities stay here, ask for "internal"',
      );
    }
    if (mount.configured !== undefined) {
      return badRequest(
        `mount "${mount.path}/" is an intermediate of ca.yaml: its keys are made there`,
      );
    }
    return then(context, call, mount);
  };
}

async function generateRoot(
  context: VaultContext,
  call: VaultCall,
  mount: PkiMount,
): Promise<VaultAnswer | VaultRefusal> {
  // 1. What it is to be.
  const read = readFields(rootFields, call.body);
  if (!read.ok) return read;
  const { values } = read;
  const asked = askedAuthority(context, values, 'root');
  if (!asked.ok) return asked;
  const length = get.number(values, 'max_path_length');
  const pathLen = length < 0 ? rootPathLength : length;

  // 2. Its key, sealed; its certificate, by the one flow.
  const { record, signer } = await context.madeKeys.make(
    mount,
    asked.kind,
    get.text(values, 'key_name'),
  );
  const config = authorityConfig(asked, pathLen);
  const draft = draftRoot(config, factsOf(context, signer.spki, asked.lifetimeMs));
  const ledgerName = ledgerNameFor(record.id);
  const issuedBy = { signer, ledgerName };
  const certificate = await certifyFor(context, call, mount, { draft, issuer: issuedBy });
  if (!('raw' in certificate)) return certificate;

  // 3. Kept; the first of a mount signs by itself.
  const name = get.text(values, 'issuer_name');
  const issuer = await keepIssuer(context, mount, {
    certificate,
    keyId: record.id,
    ledgerName,
    name,
  });
  const der = certificate.raw;
  const {
    certificate: written,
    expiration,
    serial_number,
  } = certificateAnswer({ der, above: [certificate], format: asked.format, withoutRoot: false });
  const data = {
    certificate: written,
    expiration,
    issuer_id: issuer.id,
    issuer_name: issuer.name,
    issuing_ca: asked.format === 'der' ? toBase64(der) : pemOf(certificate),
    key_id: record.id,
    key_name: record.name,
    serial_number,
  };
  context.log.warn(
    { mount: mount.path, issuer: issuer.id, by: call.caller?.token.who },
    'vault mount has a root of its own',
  );
  const warnings = [...ignoredParameters(read.unknown), ...(await withoutUrls(context, mount))];
  return { ok: true, data, warnings };
}

async function generateRequest(
  context: VaultContext,
  call: VaultCall,
  mount: PkiMount,
): Promise<VaultAnswer | VaultRefusal> {
  const read = readFields(requestFields, call.body);
  if (!read.ok) return read;
  const { values } = read;
  const asked = askedAuthority(context, values, 'intermediate');
  if (!asked.ok) return asked;
  const { record, signer } = await context.madeKeys.make(
    mount,
    asked.kind,
    get.text(values, 'key_name'),
  );
  const isSaid = get.bool(values, 'add_basic_constraints');
  const der = await buildCertificateRequest({
    signer,
    subject: subjectName(asked.subject),
    extensions: isSaid ? [extension.basicConstraints({ ca: true })] : [],
  });
  const csr =
    asked.format === 'der' ? toBase64(der) : encodePem('CERTIFICATE REQUEST', der).trimEnd();
  const warnings = [...ignoredParameters(read.unknown), ...(await withoutUrls(context, mount))];
  return { ok: true, data: { csr, key_id: record.id }, warnings };
}

async function removeAll(
  { madeKeys, log }: VaultContext,
  call: VaultCall,
  mount: PkiMount,
): Promise<VaultAnswer | VaultRefusal> {
  if (mount.configured !== undefined) return unsupported('root', 'the mount is one of ca.yaml');
  await madeKeys.removeAll(mount);
  log.warn(
    { mount: mount.path, by: call.caller?.token.who },
    'vault mount lost its issuers and keys',
  );
  return { ok: true, data: null };
}
