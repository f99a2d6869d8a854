import { CountersignError } from '@countersign/base';

/** What attestations are made of (RFC 8949): integers, texts, bytes, lists and maps with texts for keys. */
export type CborValue =
  | number
  | string
  | boolean
  | null
  | Uint8Array
  | readonly CborValue[]
  | ReadonlyMap<string, CborValue>;

const most = { depth: 6, items: 256 };

/**
 * One item, whole. Of definite lengths, integers in their shortest form, no key twice; tags, floats and all else are
 * refused. Bytes are views.
 *
 * @throws CountersignError ERR_ATTEST_FORM
 */
export function readCbor(bytes: Uint8Array): CborValue {
  const reader = new CborReader(bytes);
  const value = reader.item(0);
  reader.end();
  return value;
}

class CborReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #items = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  item(depth: number): CborValue {
    this.#items += 1;
    if (this.#items > most.items) this.#fail(`more than ${most.items} items`);
    if (depth > most.depth) this.#fail(`nested deeper than ${most.depth}`);
    const initial = this.#take(1)[0] ?? 0;
    const major = initial >> 5;
    if (major === 7) return this.#simple(initial & 0x1f);
    const argument = this.#argument(initial & 0x1f);
    const read = majors[major] ?? this.#fail(`an item of major type ${major}`);
    return read(this, argument, depth);
  }

  end(): void {
    const left = this.#bytes.byteLength - this.#at;
    if (left > 0) this.#fail(`${left} octets after the item`);
  }

  bytes(octets: number): Uint8Array {
    return this.#take(octets);
  }

  text(octets: number): string {
    try {
      return utf8.decode(this.#take(octets));
    } catch (thrown) {
      if (thrown instanceof CountersignError) throw thrown;
      return this.#fail('a text that is not UTF-8');
    }
  }

  list(length: number, depth: number): readonly CborValue[] {
    if (length > most.items) this.#fail(`a list of ${length} items`);
    return Array.from({ length }, () => this.item(depth + 1));
  }

  map(length: number, depth: number): ReadonlyMap<string, CborValue> {
    if (length > most.items) this.#fail(`a map of ${length} entries`);
    const map = new Map<string, CborValue>();
    for (let i = 0; i < length; i += 1) {
      const key = this.item(depth + 1);
      if (typeof key !== 'string') return this.#fail('a key that is no text');
      if (map.has(key)) return this.#fail(`"${key.slice(0, 40)}" is there twice`);
      map.set(key, this.item(depth + 1));
    }
    return map;
  }

  #simple(kind: number): boolean | null {
    if (kind === 20 || kind === 21) return kind === 21;
    return kind === 22 ? null : this.#fail(`a simple value or float of kind ${kind}`);
  }

  /** RFC 8949 §4.2.1: in the fewest octets. */
  #argument(kind: number): number {
    if (kind < 24) return kind;
    if (kind > 27) return this.#fail('an item of indefinite length');
    const octets = 2 ** (kind - 24);
    const value = this.#take(octets).reduce((sum, octet) => sum * 256 + octet, 0);
    const least = kind === 24 ? 24 : 256 ** (octets / 2);
    if (value < least) return this.#fail('an integer that is not in its shortest form');
    return Number.isSafeInteger(value) ? value : this.#fail('an integer of more than 53 bits');
  }

  #take(octets: number): Uint8Array {
    const left = this.#bytes.byteLength - this.#at;
    if (octets > left) this.#fail(`${octets} octets are announced, ${left} are left`);
    this.#at += octets;
    return this.#bytes.subarray(this.#at - octets, this.#at);
  }

  #fail(detail: string): never {
    throw new CountersignError('ERR_ATTEST_FORM', `CBOR at octet ${this.#at}: ${detail}`);
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

type ReadMajor = (reader: CborReader, argument: number, depth: number) => CborValue;

/** RFC 8949 §3.1, by major type; tags (6) are missing. */
const majors: readonly ReadMajor[] = [
  (_, argument) => argument,
  (_, argument) => -1 - argument,
  (reader, argument) => reader.bytes(argument),
  (reader, argument) => reader.text(argument),
  (reader, argument, depth) => reader.list(argument, depth),
  (reader, argument, depth) => reader.map(argument, depth),
];
