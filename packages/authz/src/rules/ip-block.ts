import { isIPv4, isIPv6 } from 'node:net';

/** An address as its octets: 4 or 16. A v4 address and the v6 address that maps it are two, as in Envoy. */
export type IpAddress = Uint8Array;

/** An address, or all that share its first bits. */
export interface IpBlock {
  readonly address: IpAddress;
  /** The address in its canonical text. */
  readonly text: string;
  readonly prefixBits: number;
}

/** The octets of an address; undefined for what is none. Zones are no part of an address. */
export function parseIp(text: string): IpAddress | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  if (!isIPv6(text) || text.includes('%')) return undefined;
  return parseIpv6(text);
}

/** `203.0.113.4`, `203.0.113.0/24` and the like of v6, or what is wrong with it as the end of a sentence. */
export function parseIpBlock(written: string): IpBlock | string {
  const slash = written.indexOf('/');
  const text = slash === -1 ? written : written.slice(0, slash);
  const address = parseIp(text);
  if (address === undefined) return 'is no IP address';
  const most = address.length * 8;
  if (slash === -1) return { address, text: formatIp(address), prefixBits: most };
  const bits = written.slice(slash + 1);
  if (!/^(?:0|[1-9]\d{0,2})$/.test(bits) || Number(bits) > most) {
    return `has the prefix length "${bits}", expected 0 to ${most}`;
  }
  return { address, text: formatIp(address), prefixBits: Number(bits) };
}

/** Whether the address is in the block; the bits of a block's address beyond its prefix do not count. */
export function isInBlock(address: IpAddress, block: IpBlock): boolean {
  if (address.length !== block.address.length) return false;
  const whole = block.prefixBits >> 3;
  for (let i = 0; i < whole; i += 1) if (address[i] !== block.address[i]) return false;
  const rest = block.prefixBits & 7;
  if (rest === 0) return true;
  const differing = (address[whole] ?? 0) ^ (block.address[whole] ?? 0);
  return differing >> (8 - rest) === 0;
}

/** RFC 5952 for v6, dotted for v4. */
export function formatIp(address: IpAddress): string {
  if (address.length === 4) return address.join('.');
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((address[2 * i] ?? 0) << 8) | (address[2 * i + 1] ?? 0)).toString(16),
  );
  const text = groups.join(':');
  const runs = [...text.matchAll(/\b0(?::0)+\b/g)];
  const [first] = runs;
  if (first === undefined) return text;
  const longest = runs.reduce((a, b) => (b[0].length > a[0].length ? b : a), first);
  const before = text.slice(0, longest.index).replace(/:$/, '');
  const after = text.slice(longest.index + longest[0].length).replace(/^:/, '');
  return `${before}::${after}`;
}

function parseIpv6(text: string): IpAddress {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const hex = (a: string | undefined, b: string | undefined) =>
    ((Number(a) << 8) | Number(b)).toString(16);
  const plain =
    dotted === null
      ? text
      : `${dotted[1]}${hex(dotted[2], dotted[3])}:${hex(dotted[4], dotted[5])}`;
  const [head = '', tail] = plain.split('::');
  const groupsOf = (part: string) => (part === '' ? [] : part.split(':'));
  const before = groupsOf(head);
  const after = tail === undefined ? [] : groupsOf(tail);
  const between = Array.from({ length: 8 - before.length - after.length }, () => '0');
  const words = [...before, ...between, ...after].map((group) => Number.parseInt(group, 16));
  return Uint8Array.from(words.flatMap((word) => [word >> 8, word & 0xff]));
}
