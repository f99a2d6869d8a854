import { createPrivateKey, hash, type KeyObject } from 'node:crypto';
import { CountersignError, Secret } from '@countersign/base';
import type { Certificate } from '@countersign/x509';
import { spkiOf } from '@countersign/x509';
import type { AuthorityPair } from './hierarchy.ts';
import type { SealedKey, Sealer } from './sealed-key.ts';

export function sealPair(pair: AuthorityPair, sealer: Sealer): Promise<SealedKey> {
  const pkcs8 = pair.privateKey.export({ format: 'der', type: 'pkcs8' });
  return sealer.seal(pair.name, keyHashOf(pair.certificate), new Secret(new Uint8Array(pkcs8)));
}

/**
 * The private key of a certificate.
 *
 * @throws CountersignError ERR_STATE_BROKEN where sealed key and certificate are not of one pair; ERR_KEY_SEALED
 */
export async function unsealPair(
  sealed: SealedKey,
  certificate: Certificate,
  sealer: Sealer,
): Promise<KeyObject> {
  checkPair(sealed, sealed.publicKey, certificate);
  const pkcs8 = await sealer.unseal(sealed);
  const key = createPrivateKey({
    key: Buffer.from(pkcs8.reveal()),
    format: 'der',
    type: 'pkcs8',
  });
  checkPair(sealed, hashOf(spkiOf(key).raw), certificate);
  return key;
}

/** Without the key itself: whether the sealed file says that it is the certificate's. */
export function checkPair(sealed: SealedKey, keyHash: string, certificate: Certificate): void {
  const expected = keyHashOf(certificate);
  if (keyHash === expected) return;
  throw new CountersignError(
    'ERR_STATE_BROKEN',
    `sealed key "${sealed.name}" is of public key "${keyHash}", its certificate has "${expected}"`,
    { fields: { name: sealed.name, keyHash, expected } },
  );
}

function keyHashOf(certificate: Certificate): string {
  return hashOf(certificate.spki.raw);
}

function hashOf(bytes: Uint8Array): string {
  return hash('sha256', bytes);
}
