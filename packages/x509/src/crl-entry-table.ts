import { randomBytes } from 'node:crypto';
import type { CrlEntry } from './crl.ts';
import { DerError } from './der-error.ts';

/**
 * Takes the entry of this number, which starts at `from` in the bytes; it is known to be well-formed.
 *
 * @param from as `starts` has it, {@link markedStart} included
 */
export type DecodeEntry = (from: number, entry: number) => CrlEntry;

/** A bit of `starts` that is the caller's. Lists are far shorter. */
export const markedStart = 0x80000000;

/**
 * The entries of a list by serial number, decoded when they are asked for: a million cost 12 MB beside their bytes, and
 * a look-up a few hundred nanoseconds. A serial that stands several times is met at its first entry.
 */
export class CrlEntryTable implements ReadonlyMap<string, CrlEntry> {
  readonly #bytes: Uint8Array;
  readonly #starts: Uint32Array;
  readonly #decode: DecodeEntry;
  /**
   * Open addressing with linear probing, at most half full: number of the entry plus 1, and above it, as far as there is
   * room, bits of the hash, which spare most looks at the entry itself. Or 0.
   */
  readonly #slots: Int32Array;
  readonly #slotMask: number;
  readonly #entryMask: number;
  /** Numbers of the entries whose serial an earlier one has. */
  readonly repeated: number[] = [];

  private constructor(bytes: Uint8Array, starts: Uint32Array, decode: DecodeEntry) {
    this.#bytes = bytes;
    this.#starts = starts;
    this.#decode = decode;
    const bits = Math.ceil(Math.log2(starts.length + 2));
    this.#slots = new Int32Array(2 ** (bits + 1));
    this.#slotMask = 2 ** (bits + 1) - 1;
    this.#entryMask = 2 ** bits - 1;
  }

  /**
   * @param bytes of the entries
   * @param starts where each begins in them
   * @param slice entries that are put in between two yields
   * @param maxProbes over all entries; a million random serials need half a million
   * @throws DerError ERR_DER_LIMIT where the serials are chosen so that they collide
   */
  static *fill(
    bytes: Uint8Array,
    starts: Uint32Array,
    decode: DecodeEntry,
    slice: number,
    maxProbes: number = 16 * starts.length + 4096,
  ): Generator<undefined, CrlEntryTable> {
    const table = new CrlEntryTable(bytes, starts, decode);
    let probes = maxProbes;
    for (let from = 0; from < starts.length; from += slice) {
      probes = table.#fill(from, Math.min(from + slice, starts.length), probes);
      yield;
    }
    return table;
  }

  /** Of no entries. */
  static empty(): CrlEntryTable {
    return new CrlEntryTable(new Uint8Array(0), new Uint32Array(0), () => {
      throw new RangeError('an empty list has no entries');
    });
  }

  get size(): number {
    return this.#starts.length;
  }

  get(serialHex: string): CrlEntry | undefined {
    const entry = this.#find(serialHex);
    return entry < 0 ? undefined : this.at(entry);
  }

  has(serialHex: string): boolean {
    return this.#find(serialHex) >= 0;
  }

  /** The entry of this number, from 0. */
  at(entry: number): CrlEntry {
    return this.#decode(this.#starts[entry] ?? 0, entry);
  }

  *keys(): Generator<string, undefined> {
    for (const { serialHex } of this.values()) yield serialHex;
  }

  *values(): Generator<CrlEntry, undefined> {
    for (let entry = 0; entry < this.size; entry += 1) yield this.at(entry);
  }

  *entries(): Generator<[string, CrlEntry], undefined> {
    for (const entry of this.values()) yield [entry.serialHex, entry];
  }

  [Symbol.iterator](): Generator<[string, CrlEntry], undefined> {
    return this.entries();
  }

  forEach(
    callback: (value: CrlEntry, key: string, map: ReadonlyMap<string, CrlEntry>) => void,
  ): void {
    for (const [key, value] of this.entries()) callback(value, key, this);
  }

  /**
   * A serial that is there already stays out of the slots: many issuers have the serial number 1.
   *
   * @returns how many probes are left
   */
  #fill(first: number, end: number, maxProbes: number): number {
    const bytes = this.#bytes;
    let probes = 0;
    for (let entry = first; entry < end; entry += 1) {
      const from = this.#serialFrom(entry);
      const to = this.#serialTo(entry);
      const mark = hashOf(bytes, from, to);
      const slot = this.#slotOf(mark, bytes, from, to, this.#isNegative(entry));
      if (this.#slots[slot] !== 0) this.repeated.push(entry);
      else this.#slots[slot] = (mark & ~this.#entryMask) | (entry + 1);
      probes += (slot - mark) & this.#slotMask;
      if (probes > maxProbes) {
        throw new DerError('ERR_DER_LIMIT', 'revoked certificates', from, 'serial numbers collide');
      }
    }
    return maxProbes - probes;
  }

  /** Number of the first entry with the serial, or -1. */
  #find(serialHex: string): number {
    const isNegative = serialHex.charCodeAt(0) === minus;
    const length = writeOctets(serialHex, isNegative ? 1 : 0);
    if (length === 0) return -1;
    const slot = this.#slotOf(hashOf(scratch, 0, length), scratch, 0, length, isNegative);
    return ((this.#slots[slot] ?? 0) & this.#entryMask) - 1;
  }

  /** The slot of the serial, or the free one where it would stand. */
  #slotOf(mark: number, octets: Uint8Array, from: number, to: number, isNegative: boolean): number {
    let slot = mark & this.#slotMask;
    for (;;) {
      const found = this.#slots[slot] ?? 0;
      if (found === 0 || this.#isFound(found, mark, octets, from, to, isNegative)) return slot;
      slot = (slot + 1) & this.#slotMask;
    }
  }

  #isFound(
    found: number,
    mark: number,
    octets: Uint8Array,
    from: number,
    to: number,
    isNegative: boolean,
  ): boolean {
    if (((found ^ mark) & ~this.#entryMask) !== 0) return false;
    const entry = (found & this.#entryMask) - 1;
    const start = this.#serialFrom(entry);
    if (this.#serialTo(entry) - start !== to - from) return false;
    if (this.#isNegative(entry) !== isNegative) return false;
    const bytes = this.#bytes;
    for (let i = 0; i < to - from; i += 1) if (bytes[start + i] !== octets[from + i]) return false;
    return true;
  }

  #contentOf(entry: number): number {
    return serialAt(this.#bytes, (this.#starts[entry] ?? 0) & ~markedStart);
  }

  /** The serial's magnitude, behind the 00 that only keeps it positive. */
  #serialFrom(entry: number): number {
    const from = this.#contentOf(entry);
    return this.#bytes[from] === 0 && (this.#bytes[from - 1] ?? 0) > 1 ? from + 1 : from;
  }

  #serialTo(entry: number): number {
    const from = this.#contentOf(entry);
    return from + (this.#bytes[from - 1] ?? 0);
  }

  #isNegative(entry: number): boolean {
    const from = this.#contentOf(entry);
    return (this.#bytes[from] ?? 0) >= 0x80;
  }
}

/** Where the content of the serial number begins in the entry at `start`; the octet before is its length. */
export function serialAt(bytes: Uint8Array, start: number): number {
  const length = bytes[start + 1] ?? 0;
  return start + (length < 0x80 ? 4 : 4 + (length & 0x7f));
}

/** Secret, so that a list cannot be written for our buckets. */
const seed = randomBytes(4).readInt32LE();

function hashOf(octets: Uint8Array, from: number, to: number): number {
  let hash = seed;
  for (let i = from; i < to; i += 1) hash = Math.imul(hash ^ (octets[i] ?? 0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return hash ^ (hash >>> 13);
}

const minus = 0x2d;
/** Longer serial numbers stand in no list that is read. */
const scratch = new Uint8Array(128);

/** The octets of lowercase hexadecimal into `scratch`; how many, or 0 where it is none. */
function writeOctets(hex: string, from: number): number {
  const length = (hex.length - from) / 2;
  if (!Number.isInteger(length) || length > scratch.byteLength) return 0;
  for (let i = 0; i < length; i += 1) {
    const high = digits[hex.charCodeAt(from + 2 * i)] ?? 0xff;
    const low = digits[hex.charCodeAt(from + 2 * i + 1)] ?? 0xff;
    if ((high | low) > 0xf) return 0;
    scratch[i] = (high << 4) | low;
  }
  return length;
}

const digits = new Uint8Array(128).fill(0xff);
for (let digit = 0; digit < 16; digit += 1) digits[digit.toString(16).charCodeAt(0)] = digit;
