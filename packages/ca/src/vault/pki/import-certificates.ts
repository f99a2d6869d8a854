import { hash } from 'node:crypto';
import { CountersignError, messageOf } from '@countersign/base';
import { type Certificate, certificatesFromPem } from '@countersign/x509';
import type { PkiMount } from '../mounts.ts';
import type { VaultAnswer, VaultCall } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { badRequest, unsupported, type VaultRefusal } from '../vault-refusal.ts';
import { formatSerial } from './certificate-answer.ts';
import { keepIssuer, ledgerNameFor, withoutUrls } from './keep-issuer.ts';
import { idOf, issuersOf } from './mount-issuers.ts';

/** Certificates of authorities, of which those whose key was made here sign from then on. */
export async function importCertificates(
  context: VaultContext,
  call: VaultCall,
  mount: PkiMount,
): Promise<VaultAnswer | VaultRefusal> {
  if (mount.configured !== undefined) {
    return badRequest(
      `mount "${mount.path}/" is an intermediate of ca.yaml: its certificates are made there`,
    );
  }
  const text = String(call.body.certificate ?? call.body.pem_bundle ?? '');
  if (text.length < 75) {
    return badRequest(
      'provided data for import was too short; perhaps a path was passed to the API rather than the contents of a PEM file',
    );
  }
  if (/PRIVATE KEY-----/.test(text))
    return unsupported('pem_bundle', 'keys are made here, none is taken in');
  let certificates: readonly Certificate[];
  try {
    certificates = certificatesFromPem(text);
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return badRequest(`certificates could not be parsed: ${messageOf(thrown).slice(0, 200)}`);
  }
  const other = certificates.find(({ basicConstraints }) => basicConstraints?.ca !== true);
  if (other !== undefined)
    return badRequest(`certificate ${formatSerial(other.serialHex)} is of no authority`);
  if (certificates.length > 10)
    return badRequest(`${certificates.length} certificates, at most 10 are taken`);
  const keys = await keysByHash(context, mount);
  const known = await issuersOf(context, mount);
  const imported: string[] = [];
  const existing: string[] = [];
  const mapping: Record<string, string> = {};
  for (const certificate of certificates) {
    const keyId = keys.get(hash('sha256', certificate.spki.raw)) ?? '';
    const id = idOf(certificate);
    mapping[id] = keyId;
    if (known.some((each) => each.id === id)) existing.push(id);
    else {
      imported.push(id);
      const ledgerName = keyId === '' ? '' : ledgerNameFor(keyId);
      await keepIssuer(context, mount, { certificate, keyId, ledgerName, name: '' });
    }
  }
  const data = {
    existing_issuers: existing.length === 0 ? null : existing,
    existing_keys: null,
    imported_issuers: imported.length === 0 ? null : imported,
    imported_keys: null,
    mapping,
  };
  context.log.warn(
    { mount: mount.path, issuers: imported, by: call.caller?.token.who },
    'vault mount has further issuers',
  );
  return { ok: true, data, warnings: await withoutUrls(context, mount) };
}

/** Keys of a mount by the SHA-256 of their SubjectPublicKeyInfo. */
async function keysByHash(
  { madeKeys }: VaultContext,
  mount: PkiMount,
): Promise<ReadonlyMap<string, string>> {
  const all = await madeKeys.all(mount);
  return new Map(all.map(({ id, key }) => [key.publicKey, id]));
}
