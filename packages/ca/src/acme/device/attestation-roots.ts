import { readFile } from 'node:fs/promises';
import { CountersignError, messageOf } from '@countersign/base';
import { type Certificate, certificatesFromPem } from '@countersign/x509';
import type { DeviceAttestationConfig } from '../acme-config.ts';

/**
 * Whom `acme.device_attestation` believes: makers of TPMs, or authorities that certify attestation keys.
 *
 * @throws CountersignError ERR_CONFIG_VALUE
 */
export async function readAttestationRoots(
  config: DeviceAttestationConfig | undefined,
): Promise<readonly Certificate[]> {
  const read = await Promise.all((config?.roots ?? []).map(readRoots));
  return read.flat();
}

async function readRoots(file: string): Promise<readonly Certificate[]> {
  let roots: readonly Certificate[];
  try {
    roots = certificatesFromPem(await readFile(file, 'utf8'));
  } catch (thrown) {
    const message = `read the attestation roots "${file}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_CONFIG_VALUE', message, { fields: { file }, cause: thrown });
  }
  const other = roots.find(({ basicConstraints }) => basicConstraints?.ca !== true);
  if (other === undefined) return roots;
  const message = `attestation roots "${file}": certificate "${other.serialHex}" is not that of a CA`;
  throw new CountersignError('ERR_CONFIG_VALUE', message, { fields: { file } });
}
