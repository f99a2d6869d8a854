/**
 * The lowercase hexadecimal of an INTEGER's content octets, without the leading 00 that only keeps it positive. A
 * negative one gets a leading "-" before its two's complement octets, so that it equals no positive one.
 */
export function serialHexOf(content: Uint8Array): string {
  const hex = Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString('hex');
  if ((content[0] ?? 0) >= 0x80) return `-${hex}`;
  return content.byteLength > 1 && content[0] === 0 ? hex.slice(2) : hex;
}

/** Content octets of the positive INTEGER with this magnitude: leading zeros cut, one added where the first bit is set. */
export function positiveSerial(magnitude: Uint8Array): Uint8Array {
  let from = 0;
  while (from < magnitude.byteLength - 1 && magnitude[from] === 0) from += 1;
  const minimal = magnitude.subarray(from);
  if ((minimal[0] ?? 0) < 0x80 && minimal.byteLength > 0) return minimal;
  const padded = new Uint8Array(minimal.byteLength + 1);
  padded.set(minimal, 1);
  return padded;
}
