import { encodeOid } from './der-oid.ts';
import { encodeTime, generalizedText } from './der-time.ts';
import { contextConstructed, contextTag, tags } from './tags.ts';

type Parts = readonly Uint8Array[];

/**
 * Builders of canonical DER. They take our own values, so a value that cannot be encoded is a defect and throws
 * RangeError; texts of strangers are checked before.
 */
export const der = {
  /** Any element: identifier octet, and the content in parts. */
  element,
  sequence: (...parts: Parts): Uint8Array => element(tags.sequence, parts),
  setOf: (...parts: Parts): Uint8Array => element(tags.set, sorted(parts)),
  /** Implicitly tagged SET OF. */
  contextSetOf: (number: number, ...parts: Parts): Uint8Array =>
    element(contextConstructed(number), sorted(parts)),
  /** Primitive [n]. */
  context: (number: number, content: Uint8Array): Uint8Array =>
    element(contextTag(number), [content]),
  /** Constructed [n]: an explicit tag, or an implicit SEQUENCE. */
  explicit: (number: number, ...parts: Parts): Uint8Array =>
    element(contextConstructed(number), parts),
  boolean: (value: boolean): Uint8Array => Uint8Array.of(tags.boolean, 1, value ? 0xff : 0),
  integer: (value: number | bigint): Uint8Array => element(tags.integer, [integerContent(value)]),
  enumerated: (value: number): Uint8Array => element(tags.enumerated, [integerContent(value)]),
  /** INTEGER of content octets that are minimal already. */
  integerOctets: (content: Uint8Array): Uint8Array => element(tags.integer, [content]),
  integerContent,
  null: (): Uint8Array => Uint8Array.of(tags.null, 0),
  oid,
  octetString: (content: Uint8Array): Uint8Array => element(tags.octetString, [content]),
  /** BIT STRING without unused bits. */
  bitString: (bits: Uint8Array): Uint8Array => element(tags.bitString, [noUnusedBits, bits]),
  /** Content of a NamedBitList; prepend a tag with `element`. */
  namedBitsContent,
  namedBits: (bits: Iterable<number>): Uint8Array =>
    element(tags.bitString, [namedBitsContent(bits)]),
  utf8: (text: string): Uint8Array => element(tags.utf8String, [Buffer.from(text, 'utf8')]),
  ia5: (text: string): Uint8Array => element(tags.ia5String, [ia5Content(text)]),
  ia5Content,
  printable: (text: string): Uint8Array => element(tags.printableString, [ia5Content(text)]),
  /** UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 wants. */
  time(ms: number): Uint8Array {
    const second = Math.floor(ms / 1000);
    const known = recentTimes.get(second);
    if (known !== undefined) return known;
    const { tag, text } = encodeTime(ms);
    const encoded = element(tag, [ia5Content(text)]).slice();
    if (recentTimes.size >= keptTimes) recentTimes.clear();
    recentTimes.set(second, encoded);
    return encoded;
  },
  generalizedTime: (ms: number): Uint8Array =>
    element(tags.generalizedTime, [ia5Content(generalizedText(ms))]),
} as const;

/** Whoever issues much in one second writes the same few times. */
const recentTimes = new Map<number, Uint8Array>();
const keptTimes = 64;

const noUnusedBits = Uint8Array.of(0);

function element(tag: number, parts: Parts): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.byteLength;
  const octets =
    length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x10000 ? 2 : length < 0x1000000 ? 3 : 4;
  const whole = allocate(2 + octets + length);
  whole[0] = tag;
  whole[1] = octets === 0 ? length : 0x80 | octets;
  for (let i = 0; i < octets; i += 1) whole[2 + i] = (length >>> (8 * (octets - 1 - i))) & 0xff;
  let at = 2 + octets;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

/**
 * Small elements share slabs: one ArrayBuffer each would cost more than all else in building a certificate. So a kept
 * element keeps its slab, and whole documents are copied out.
 */
const slabBytes = 16 * 1024;
const largestShared = 1024;
let slab = new ArrayBuffer(slabBytes);
let slabUsed = 0;

function allocate(length: number): Uint8Array {
  if (length > largestShared) return new Uint8Array(length);
  if (slabUsed + length > slabBytes) {
    slab = new ArrayBuffer(slabBytes);
    slabUsed = 0;
  }
  const view = new Uint8Array(slab, slabUsed, length);
  slabUsed += length;
  return view;
}

function sorted(parts: Parts): Parts {
  return parts.length < 2 ? parts : [...parts].sort(Buffer.compare);
}

function integerContent(value: number | bigint): Uint8Array {
  if (typeof value === 'number' && value >= 0 && value < 0x80) return Uint8Array.of(value);
  let left = BigInt(value);
  const octets: number[] = [];
  for (;;) {
    octets.unshift(Number(left & 0xffn));
    left >>= 8n;
    const sign = (octets[0] ?? 0) >= 0x80;
    if ((left === 0n && !sign) || (left === -1n && sign)) return Uint8Array.from(octets);
  }
}

const oidCache = new Map<string, Uint8Array>();
const oidCacheSize = 512;

function oid(dotted: string): Uint8Array {
  const known = oidCache.get(dotted);
  if (known !== undefined) return known;
  const content = encodeOid(dotted);
  if (content === undefined) throw new RangeError(`"${dotted}" is no object identifier`);
  const encoded = element(tags.oid, [content]);
  if (oidCache.size < oidCacheSize) oidCache.set(dotted, encoded);
  return encoded;
}

function namedBitsContent(bits: Iterable<number>): Uint8Array {
  let octets: number[] = [];
  let highest = -1;
  for (const bit of bits) {
    while (octets.length <= bit >> 3) octets = [...octets, 0];
    octets[bit >> 3] = (octets[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
    highest = Math.max(highest, bit);
  }
  return Uint8Array.of(highest === -1 ? 0 : 7 - (highest & 7), ...octets);
}

function ia5Content(text: string): Uint8Array {
  const content = allocate(text.length);
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) throw new RangeError(`"${text}" has a character above U+007F`);
    content[i] = code;
  }
  return content;
}
