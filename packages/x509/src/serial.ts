/**
 * The lowercase hexadecimal of an INTEGER's content octets, without the leading 00 that only keeps it positive. A
 * negative one gets a leading "-" before its two's complement octets, so that it equals no positive one.
 */
export function serialHexOf(content: Uint8Array): string {
  const hex = Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString('hex');
  if ((content[0] ?? 0) >= 0x80) return `-${hex}`;
  return content.byteLength > 1 && content[0] === 0 ? hex.slice(2) : hex;
}
