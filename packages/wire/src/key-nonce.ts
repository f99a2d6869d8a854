import { hash } from 'node:crypto';

/**
 * What a document of a cloud has to have as nonce for a certificate's key, so that it is good for nobody else's: ten
 * decimal digits, which is what Azure takes.
 *
 * @param spki DER of the SubjectPublicKeyInfo
 */
export function nonceOfKey(spki: Uint8Array): string {
  const digest = hash('sha256', spki);
  return String(BigInt(`0x${digest.slice(0, 15)}`) % 10_000_000_000n).padStart(10, '0');
}
