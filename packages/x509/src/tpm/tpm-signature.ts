import { constants, type KeyObject, verify } from 'node:crypto';
import { der } from '../der-writer.ts';
import { publicKeyOf, type SubjectPublicKeyInfo } from '../spki.ts';
import { type TpmHash, tpmAlg } from './tpm-algorithms.ts';
import { hex, TpmReader } from './tpm-reader.ts';

/** TPMT_SIGNATURE (part 2 §11.3.4). */
export interface TpmSignature {
  readonly scheme: 'rsassa' | 'rsapss' | 'ecdsa';
  readonly hash: TpmHash;
  /** ECDSA as DER, as `node:crypto` takes it. */
  readonly bytes: Uint8Array;
}

const mostOctets = 512;
const mostScalarOctets = 66;

/** @throws CountersignError ERR_TPM_FORM, ERR_TPM_UNSUPPORTED */
export function parseTpmSignature(bytes: Uint8Array): TpmSignature {
  const reader = new TpmReader(bytes, 'TPMT_SIGNATURE');
  const signature = readTpmSignature(reader);
  reader.end();
  return signature;
}

/** Takes one from the cursor. */
export function readTpmSignature(reader: TpmReader): TpmSignature {
  const algorithm = reader.u16('sigAlg');
  const scheme = schemes.get(algorithm) ?? reader.unsupported(`scheme ${hex(algorithm)}`);
  const hash = reader.hash('hash');
  if (scheme !== 'ecdsa') return { scheme, hash, bytes: reader.sized('signature', mostOctets) };
  const [r, s] = [reader.sized('r', mostScalarOctets), reader.sized('s', mostScalarOctets)];
  return {
    scheme,
    hash,
    bytes: der.sequence(der.integerOctets(positive(r)), der.integerOctets(positive(s))),
  };
}

/** Whether the key has signed the data so; false also where scheme and key do not fit. */
export function verifyTpmSignature(
  spki: SubjectPublicKeyInfo,
  data: Uint8Array,
  { scheme, hash, bytes }: TpmSignature,
): boolean {
  try {
    const key = publicKeyOf(spki);
    const fits = key.asymmetricKeyType === (scheme === 'ecdsa' ? 'ec' : 'rsa');
    return fits && verify(hash.name, data, inputOf(key, scheme), bytes);
  } catch {
    // a modulus too small for its digest: no such signature verifies
    return false;
  }
}

const schemes = new Map<number, TpmSignature['scheme']>([
  [tpmAlg.rsassa, 'rsassa'],
  [tpmAlg.rsapss, 'rsapss'],
  [tpmAlg.ecdsa, 'ecdsa'],
]);

function inputOf(key: KeyObject, scheme: TpmSignature['scheme']) {
  if (scheme !== 'rsapss') return key;
  // Part 1 §B.7: as long a salt as fits, or as the digest is, by the TPM's mode.
  const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_AUTO: saltLength } = constants;
  return { key, padding, saltLength };
}

/** Content of an INTEGER: minimal, not negative. */
function positive(bytes: Uint8Array): Uint8Array {
  const from = bytes.findIndex((octet) => octet > 0);
  const minimal = from === -1 ? Uint8Array.of(0) : bytes.subarray(from);
  return (minimal[0] ?? 0) < 0x80 ? minimal : Uint8Array.of(0, ...minimal);
}
