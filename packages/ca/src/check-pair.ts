import { hash } from 'node:crypto';
import { CountersignError } from '@countersign/base';
import type { Certificate } from '@countersign/x509';
import type { KeyDescription } from './signers/key-store.ts';

/**
 * Whether a key is the certificate's.
 *
 * @param keyHash SHA-256 of the key's SPKI, lowercase hex
 * @throws CountersignError ERR_STATE_BROKEN
 */
export function checkPair(
  { name }: Pick<KeyDescription, 'name'>,
  keyHash: string,
  certificate: Pick<Certificate, 'spki'>,
): void {
  const expected = hash('sha256', certificate.spki.raw);
  if (keyHash === expected) return;
  throw new CountersignError(
    'ERR_STATE_BROKEN',
    `key "${name}" is of public key "${keyHash}", its certificate has "${expected}"`,
    { fields: { name, keyHash, expected } },
  );
}
