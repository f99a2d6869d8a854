/** Identifier octets. */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  visibleString: 0x1a,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Identifier octet of a primitive [n]. */
export function contextTag(number: number): number {
  return 0x80 | number;
}

/** Identifier octet of a constructed [n]. */
export function contextConstructed(number: number): number {
  return 0xa0 | number;
}

const names = new Map<number, string>(Object.entries(tags).map(([name, tag]) => [tag, name]));

/** For messages: `sequence (0x30)`, `[1] (0x81)`. */
export function tagName(tag: number): string {
  const octet = `0x${tag.toString(16).padStart(2, '0')}`;
  if (tag >= 0x80 && tag < 0xc0) return `[${tag & 0x1f}] (${octet})`;
  return `${names.get(tag) ?? 'tag'} (${octet})`;
}
