import { isIPv4, isIPv6 } from 'node:net';

/** 4 or 16 bytes of an address as text (no brackets, no zone), or undefined. */
export function parseIpAddress(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const [head = '', tail] = unmixed(dotted, text).split('::');
  const front = groupsOf(head);
  const back = tail === undefined ? [] : groupsOf(tail);
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => 0);
  const groups = [...front, ...zeros, ...back];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** RFC 5952 for 16 bytes, dotted for 4; with a mask (8 or 32 bytes) `address/prefix`; other lengths in hexadecimal. */
export function formatIpAddress(bytes: Uint8Array): string {
  const { byteLength } = bytes;
  if (byteLength === 4) return bytes.join('.');
  if (byteLength === 16) return formatIpv6(bytes);
  if (byteLength !== 8 && byteLength !== 32) return Buffer.from(bytes).toString('hex');
  const address = formatIpAddress(bytes.subarray(0, byteLength / 2));
  const mask = bytes.subarray(byteLength / 2);
  return `${address}/${prefixOf(mask) ?? formatIpAddress(mask)}`;
}

/**
 * Address and mask of an `address/prefix` text (8 or 32 bytes, as a name constraint has them), or undefined where it
 * is malformed or has bits set beyond the prefix.
 */
export function parseIpNetwork(text: string): Uint8Array | undefined {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text);
  const address = parseIpAddress(match?.[1] ?? '');
  const prefix = Number(match?.[2]);
  if (address === undefined || !(prefix <= address.byteLength * 8)) return undefined;
  const mask = address.map((_, i) => (0xff00 >> Math.min(8, Math.max(0, prefix - i * 8))) & 0xff);
  if (address.some((octet, i) => (octet & ~(mask[i] ?? 0)) !== 0)) return undefined;
  const network = new Uint8Array(address.byteLength * 2);
  network.set(address);
  network.set(mask, address.byteLength);
  return network;
}

/** Length of a contiguous mask, or undefined. */
function prefixOf(mask: Uint8Array): number | undefined {
  const bits = [...mask].map((octet) => octet.toString(2).padStart(8, '0')).join('');
  return /^1*0*$/.test(bits) ? bits.lastIndexOf('1') + 1 : undefined;
}

function unmixed(dotted: RegExpExecArray | null, text: string): string {
  if (dotted === null) return text;
  const [a = 0, b = 0, c = 0, d = 0] = (dotted[2] ?? '').split('.').map(Number);
  return `${dotted[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

function groupsOf(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
}

// RFC 5952 §4: lower case, no leading zeros, the first longest run of two or more zero groups as "::"
function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from(
    { length: 8 },
    (_, i) => ((bytes[i * 2] ?? 0) << 8) | (bytes[i * 2 + 1] ?? 0),
  );
  const words = groups.map((group) => group.toString(16));
  let [start, longest] = [-1, 1];
  for (let i = 0; i < 8; i += 1) {
    let end = i;
    while (groups[end] === 0) end += 1;
    if (end - i > longest) [start, longest] = [i, end - i];
  }
  if (start === -1) return words.join(':');
  return `${words.slice(0, start).join(':')}::${words.slice(start + longest).join(':')}`;
}
