import { DerError, DerReader } from '@countersign/x509';
import { decodeBlock } from './decode-found-key.ts';
import type { FoundKey } from './found-key.ts';

/** The largest private key in DER is RSA's of 16,384 bits, about 9 kB. */
export const longestDerKey = 16 * 1024;

/** The private key that a whole file in DER is: PKCS #8, plain or encrypted, SEC 1 or PKCS #1. */
export function keyInDer(bytes: Uint8Array): FoundKey | undefined {
  const label = labelOf(bytes);
  const decoded = label === undefined ? undefined : decodeBlock(label, bytes, false);
  if (decoded === undefined) return undefined;
  // By its shape it could be something else: what does not decode is no key.
  if (!decoded.encrypted && decoded.spkiHash === undefined) return undefined;
  return { ...decoded, encoding: 'DER' };
}

/** By the first elements of the sequence: RFC 5958 §2 and §3, RFC 5915 §3, RFC 8017 §A.1.2. */
function labelOf(bytes: Uint8Array): string | undefined {
  try {
    const whole = DerReader.over(bytes, 'key');
    const key = whole.sequence('key');
    whole.end('key');
    const first = key.nextTag;
    if (first === 0x30) return isPasswordBased(key) ? 'ENCRYPTED PRIVATE KEY' : undefined;
    if (first !== 0x02) return undefined;
    key.any('version');
    return labels[key.nextTag];
  } catch (thrown) {
    if (thrown instanceof DerError) return undefined;
    throw thrown;
  }
}

const labels: Readonly<Record<number, string>> = {
  48: 'PRIVATE KEY',
  4: 'EC PRIVATE KEY',
  2: 'RSA PRIVATE KEY',
};

/** PKCS #5 and PKCS #12 schemes: an OCTET STRING after such an algorithm is nothing else. */
function isPasswordBased(key: DerReader): boolean {
  const scheme = key.sequence('algorithm').oid('algorithm');
  if (key.nextTag !== 0x04) return false;
  key.octetString('encrypted key');
  key.end('key');
  return /^1\.2\.840\.113549\.1\.(?:5|12\.1)\./.test(scheme);
}
