/** A dotted OID of its content octets, or undefined where they are malformed or an arc is above 2^53-1. */
export function decodeOid(bytes: Uint8Array, from: number, to: number): string | undefined {
  if (to <= from || to - from > longestOid) return undefined;
  let hash = to - from;
  for (let at = from; at < to; at += 1) hash = (hash * 31 + (bytes[at] ?? 0)) & (slots - 1);
  const known = recent[hash];
  if (known !== undefined && isSame(known.octets, bytes, from, to)) return known.dotted;
  const dotted = readOid(bytes, from, to);
  if (dotted !== undefined) recent[hash] = { octets: bytes.slice(from, to), dotted };
  return dotted;
}

/** The same few occur in every document: a string that was made before is also found faster in a table. */
const slots = 512;
const recent: ({ readonly octets: Uint8Array; readonly dotted: string } | undefined)[] = new Array(
  slots,
).fill(undefined);

function isSame(octets: Uint8Array, bytes: Uint8Array, from: number, to: number): boolean {
  if (octets.byteLength !== to - from) return false;
  for (let at = from; at < to; at += 1) if (octets[at - from] !== bytes[at]) return false;
  return true;
}

function readOid(bytes: Uint8Array, from: number, to: number): string | undefined {
  let dotted = '';
  let arc = 0;
  let fresh = true;
  for (let at = from; at < to; at += 1) {
    const octet = bytes[at] ?? 0;
    // X.690 §8.19.2: fewest octets
    if (fresh && octet === 0x80) return undefined;
    arc = arc * 128 + (octet & 0x7f);
    if (arc > Number.MAX_SAFE_INTEGER) return undefined;
    fresh = octet < 0x80;
    if (!fresh) continue;
    if (dotted === '') {
      const top = Math.min(2, Math.floor(arc / 40));
      dotted = `${top}.${arc - top * 40}`;
    } else dotted += `.${arc}`;
    arc = 0;
  }
  return fresh ? dotted : undefined;
}

/** Content octets of a dotted OID, or undefined where it is malformed. */
export function encodeOid(dotted: string): Uint8Array | undefined {
  if (!/^[0-2](\.(0|[1-9]\d{0,15}))+$/.test(dotted)) return undefined;
  const arcs = dotted.split('.').map(Number);
  const [top = 0, second = 0, ...others] = arcs;
  if (top < 2 && second > 39) return undefined;
  const octets: number[] = [];
  for (const arc of [top * 40 + second, ...others]) {
    if (!Number.isSafeInteger(arc)) return undefined;
    const digits: number[] = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      digits.unshift(0x80 | (left % 128));
    }
    octets.push(...digits);
  }
  return octets.length > longestOid ? undefined : Uint8Array.from(octets);
}

const longestOid = 128;
