import { hash } from 'node:crypto';
import { toBase64 } from '@countersign/base';
import { type Members, readMessage } from './read-message.ts';

/**
 * A long-term key's word for a request: the key, such as one in hardware, signs enrolment and renewal and thereby certifies
 * the short-lived key that TLS uses. A member `proof` of enrolments and renewals.
 */
export interface KeyProof {
  /** SubjectPublicKeyInfo, DER. */
  readonly key: Uint8Array;
  /** When it was signed, in milliseconds since the epoch; the authority believes it for some minutes. */
  readonly at: number;
  /** Of {@link keyProofText}, by the default algorithm of the key's kind. */
  readonly signature: Uint8Array;
}

/** Begins with words that nothing else which is signed begins with, and is of one request: `csr` is its PKCS #10 in DER. */
export function keyProofText(
  { key, at }: Pick<KeyProof, 'key' | 'at'>,
  csr: Uint8Array,
): Uint8Array {
  const [ofRequest, ofKey] = [hash('sha256', csr), hash('sha256', key)];
  const lines = ['countersign proof by a long-term key, version 1', ofRequest, ofKey, at];
  return new TextEncoder().encode(`${lines.join('\n')}\n`);
}

/** Of ML-DSA-87, the longest. */
const limits = { keyBytes: 3 * 1024, signatureBytes: 5 * 1024 } as const;

/** A request's member of that name, where it has one. */
export function proofIn(m: Members): { readonly proof?: KeyProof } {
  const proof = m.optional('proof', (name) =>
    readMessage('proof', m.object(name), (inner) => ({
      key: inner.bytes('key', limits.keyBytes),
      at: inner.integer('at', { min: 0 }),
      signature: inner.bytes('signature', limits.signatureBytes),
    })),
  );
  return proof === undefined ? {} : { proof };
}

/** As JSON has it. */
export function formatKeyProof({ key, at, signature }: KeyProof): object {
  return { key: toBase64(key), at, signature: toBase64(signature) };
}
