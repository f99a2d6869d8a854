import { der } from '@countersign/x509';

/** INTEGER of unsigned octets. */
export function positiveInteger(octets: Uint8Array): Uint8Array {
  let start = 0;
  while (start < octets.byteLength - 1 && octets[start] === 0) start += 1;
  const least = octets.subarray(start);
  if ((least[0] ?? 0) < 0x80) return der.integerOctets(least);
  return der.integerOctets(Uint8Array.of(0, ...least));
}

/**
 * An ECDSA signature as X.509 wants it (RFC 3279 §2.2.3), of r and s side by side as tokens and services give them.
 *
 * @throws RangeError
 */
export function ecdsaSignatureOf(raw: Uint8Array): Uint8Array {
  const half = raw.byteLength / 2;
  if (!Number.isInteger(half) || half === 0) {
    throw new RangeError(`an ECDSA signature of ${raw.byteLength} octets`);
  }
  return der.sequence(positiveInteger(raw.subarray(0, half)), positiveInteger(raw.subarray(half)));
}
