import type { AlgorithmIdentifier } from '../algorithm-identifier.ts';
import type { Certificate } from '../certificate.ts';
import { judgeKey } from '../key-kind.ts';
import { signatureAlgorithmOf } from '../signature-algorithms.ts';
import type { Finding } from './check-certificate.ts';

/** Whether the certified key is of a kind and strength that we accept. */
export function keyFinding({ spki }: Certificate): Finding | undefined {
  const verdict = judgeKey(spki);
  if (!verdict.ok) {
    const detail = `has a public key that is not accepted: ${verdict.detail}`;
    return { code: verdict.code, detail, fields: verdict.fields };
  }
  const { kind } = verdict;
  // CA/Browser Forum BR §6.1.5: the modulus is a whole number of octets; others come from broken
  // generators
  if ((kind.type !== 'RSA' && kind.type !== 'RSA-PSS') || kind.bits % 8 === 0) return undefined;
  const detail = `has a public key that is not accepted: RSA key of ${kind.bits} bits, a multiple of 8 is required`;
  return { code: 'ERR_KEY_WEAK', detail, fields: { bits: kind.bits } };
}

/** For messages: what people meet that is not, or no longer, accepted. */
const refusedAlgorithms: ReadonlyMap<string, string> = new Map([
  ['1.2.840.10045.4.1', 'ECDSA with SHA-1'],
  ['1.2.840.10045.4.3.1', 'ECDSA with SHA-224'],
  ['1.2.840.113549.1.1.2', 'RSA with MD2'],
  ['1.2.840.113549.1.1.4', 'RSA with MD5'],
  ['1.2.840.113549.1.1.5', 'RSA with SHA-1'],
  ['1.2.840.113549.1.1.14', 'RSA with SHA-224'],
  ['1.2.840.113549.1.1.10', 'RSA-PSS with parameters that are not accepted'],
  ['1.2.840.10040.4.3', 'DSA with SHA-1'],
  ['2.16.840.1.101.3.4.3.2', 'DSA with SHA-256'],
  ['1.3.101.113', 'Ed448'],
]);

export function signatureAlgorithmFinding(algorithm: AlgorithmIdentifier): Finding | undefined {
  if (signatureAlgorithmOf(algorithm) !== undefined) return undefined;
  const name = refusedAlgorithms.get(algorithm.oid) ?? `algorithm ${algorithm.oid}`;
  const detail = `has a signature by ${name}, accepted are SHA-256 or better with ECDSA or RSA, Ed25519 and ML-DSA`;
  return { code: 'ERR_CERT_SIGNATURE_WEAK', detail, fields: { algorithm: algorithm.oid } };
}
