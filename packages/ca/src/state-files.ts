import { readFile } from 'node:fs/promises';
import { CountersignError, messageOf } from '@countersign/base';
import { type Certificate, certificatesFromPem, fingerprintOf } from '@countersign/x509';
import type { AuthorityCertificateConfig } from './ca-config.ts';
import { checkPair } from './check-pair.ts';
import { isKeyReference, parseKeyDescription } from './signers/key-reference.ts';
import type { KeyDescription } from './signers/key-store.ts';
import type { StateCertificates } from './state-config.ts';
import type { StateLayout, StateManifest } from './state-layout.ts';

/**
 * The certificates that init made, the root as `state.json` has it.
 *
 * @throws CountersignError ERR_STATE_BROKEN
 */
export async function readMadeCertificates(
  layout: StateLayout,
  manifest: StateManifest,
): Promise<StateCertificates> {
  const root = await readCertificate(layout.rootCertificate);
  checkRoot(root, manifest, layout);
  const intermediates = new Map<string, Certificate>();
  for (const name of manifest.intermediates) {
    intermediates.set(name, await readCertificate(layout.intermediateCertificate(name)));
  }
  return { root, intermediates };
}

/**
 * The description of a key, which must be where the configuration says, and the certificate's. Nothing is unsealed.
 *
 * @throws CountersignError ERR_STATE_BROKEN, ERR_STATE_CONFIG, ERR_KEY_FILE
 */
export async function readKey(
  file: string,
  { name, storage }: AuthorityCertificateConfig & { readonly name: string },
  certificate: Certificate,
): Promise<KeyDescription> {
  const description = parseKeyDescription(await readState(file), file);
  if (description.name !== name) {
    const message = `key file "${file}" of "${name}" says it is of "${description.name}"`;
    throw new CountersignError('ERR_STATE_BROKEN', message);
  }
  const found = isKeyReference(description) ? description.store : 'file';
  if (found !== storage.type) {
    const message = `key of "${name}" is configured in storage "${storage.type}", the state has it in "${found}"`;
    throw new CountersignError('ERR_STATE_CONFIG', message, { fields: { key: name, found } });
  }
  checkPair(description, description.publicKey, certificate);
  return description;
}

function certificatesIn(text: string, file: string): readonly Certificate[] {
  try {
    return certificatesFromPem(text);
  } catch (thrown) {
    const message = `read "${file}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_STATE_BROKEN', message, { fields: { file }, cause: thrown });
  }
}

async function readCertificate(file: string): Promise<Certificate> {
  const [certificate, more] = certificatesIn(await readState(file), file);
  if (certificate !== undefined && more === undefined) return certificate;
  throw new CountersignError(
    'ERR_STATE_BROKEN',
    `"${file}" does not hold exactly one certificate`,
    {
      fields: { file },
    },
  );
}

async function readState(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (thrown) {
    throw new CountersignError('ERR_STATE_BROKEN', `read "${file}": ${messageOf(thrown)}`, {
      fields: { file },
      cause: thrown,
    });
  }
}

function checkRoot(root: Certificate, manifest: StateManifest, layout: StateLayout): void {
  const found = fingerprintOf(root);
  if (found === manifest.rootFingerprint) return;
  const sides = `has fingerprint "${found}", state.json says "${manifest.rootFingerprint}"`;
  throw new CountersignError('ERR_STATE_BROKEN', `"${layout.rootCertificate}" ${sides}`);
}
