import { toHex } from '@countersign/base';
import { DerReader, type SubjectPublicKeyInfo } from '@countersign/x509';

export interface RsaModulus {
  readonly value: bigint;
  /** Without leading zeros, in capitals, as OpenSSL prints it. */
  readonly hex: string;
}

/** Of an RSA key that `judgeKey` took for well-formed. */
export function rsaModulusOf({ bits }: SubjectPublicKeyInfo): RsaModulus {
  const reader = DerReader.over(bits, 'RSA public key').sequence('RSA public key');
  const hex = toHex(reader.integer('RSA modulus'))
    .replace(/^(00)+/, '')
    .toUpperCase();
  return { value: BigInt(`0x${hex}`), hex };
}
