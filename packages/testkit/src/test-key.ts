import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { KeyKind } from '@countersign/x509';

/** Made at once on this thread; P-256 unless told otherwise, since others take their time. */
export function testKey(kind: KeyKind = { type: 'EC', curve: 'P-256' }): KeyObject {
  switch (kind.type) {
    case 'EC':
      return generateKeyPairSync('ec', { namedCurve: kind.curve }).privateKey;
    case 'RSA':
      return generateKeyPairSync('rsa', { modulusLength: kind.bits }).privateKey;
    case 'RSA-PSS':
      return generate('rsa-pss', { ...pssOptions, modulusLength: kind.bits }).privateKey;
    case 'Ed25519':
      return generateKeyPairSync('ed25519').privateKey;
    case 'ML-DSA':
      return generateKeyPairSync(`ml-dsa-${kind.set}`).privateKey;
  }
}

const pssOptions = { hashAlgorithm: 'sha256', mgf1HashAlgorithm: 'sha256', saltLength: 32 };

/** The declared overloads of `rsa-pss` ask for encodings that Node does not need. */
const generate = generateKeyPairSync as unknown as (
  type: string,
  options: object,
) => { readonly privateKey: KeyObject };
