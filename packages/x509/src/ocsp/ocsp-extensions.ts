import { CountersignError } from '@countersign/base';
import { DerError } from '../der-error.ts';
import type { DerReader } from '../der-reader.ts';
import { der } from '../der-writer.ts';
import { type Extension, findExtension, readExtensions } from '../extension.ts';
import { extension } from '../extension-builders.ts';
import { oids } from '../oids.ts';

/** RFC 9654 §2.1: the lengths that are taken; 32 octets is what a client should send. */
export const nonceOctets = { least: 1, most: 128, recommended: 32 } as const;

/** The explicit [number] Extensions, or none where the next element is another. */
export function readTaggedExtensions(
  reader: DerReader,
  tag: number,
  what: string,
): readonly Extension[] {
  if (reader.nextTag !== tag) return [];
  const explicit = reader.constructed(what, tag);
  const extensions = readExtensions(explicit, what, 'ERR_OCSP_EXTENSION');
  explicit.end(what);
  return extensions;
}

/** @throws CountersignError ERR_OCSP_NONCE */
export function readNonce(
  reader: DerReader,
  extensions: readonly Extension[],
): Uint8Array | undefined {
  const found = findExtension(extensions, oids.ocspNonce);
  if (found === undefined) return undefined;
  const nonce = nonceOf(reader.within(found.value));
  // RFC 9654 §2.1: any other length is malformed
  const { byteLength } = nonce;
  if (byteLength >= nonceOctets.least && byteLength <= nonceOctets.most) return nonce;
  const message = `nonce of ${byteLength} octets, 1 to 128 are allowed`;
  throw new CountersignError('ERR_OCSP_NONCE', message, { fields: { octets: byteLength } });
}

function nonceOf(reader: DerReader): Uint8Array {
  try {
    const nonce = reader.octetString('nonce');
    reader.end('nonce');
    return nonce;
  } catch (thrown) {
    if (!(thrown instanceof DerError)) throw thrown;
    throw new CountersignError('ERR_OCSP_NONCE', thrown.message, { cause: thrown });
  }
}

/** @throws RangeError for a length that nobody may send */
export function nonceExtension(nonce: Uint8Array): Extension {
  const { byteLength } = nonce;
  if (byteLength < nonceOctets.least || byteLength > nonceOctets.most) {
    throw new RangeError(`nonce of ${byteLength} octets, 1 to 128 are allowed`);
  }
  return extension.other(oids.ocspNonce, false, der.octetString(nonce));
}

/** OIDs of those that are critical and not in `known`. */
export function unknownCritical(
  extensions: readonly Extension[],
  known: readonly string[],
): string[] {
  return extensions
    .filter(({ oid, critical }) => critical && !known.includes(oid))
    .map(({ oid }) => oid);
}
