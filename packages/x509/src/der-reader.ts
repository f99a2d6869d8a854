import { DerError, type DerErrorCode } from './der-error.ts';
import { certificateLimits, type DerLimits } from './der-limits.ts';
import { decodeOid } from './der-oid.ts';
import { decodeTime } from './der-time.ts';
import { tagName, tags } from './tags.ts';

/** Spent by a reader and all its children together. */
interface Budget {
  elements: number;
  readonly maxDepth: number;
}

/**
 * A strict cursor over canonical DER (X.690 §10): each method takes the next element, which must have the expected tag,
 * a definite minimal length and a canonical content. Bytes that it returns are views.
 */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #base: number;
  readonly #end: number;
  readonly #depth: number;
  readonly #budget: Budget;
  #at: number;
  /** Content of the element whose header was read last. */
  #from = 0;
  #to = 0;

  private constructor(
    bytes: Uint8Array,
    from: number,
    to: number,
    base: number,
    depth: number,
    budget: Budget,
  ) {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = to;
    this.#base = base;
    this.#depth = depth;
    this.#budget = budget;
  }

  /**
   * @param what names the document in errors
   * @throws DerError ERR_DER_LIMIT where it is larger than the limit
   */
  static over(bytes: Uint8Array, what: string, limits: DerLimits = certificateLimits): DerReader {
    if (bytes.byteLength > limits.maxBytes) {
      const sides = `${bytes.byteLength} bytes, at most ${limits.maxBytes} are read`;
      throw new DerError('ERR_DER_LIMIT', what, 0, sides);
    }
    const budget = { elements: limits.maxElements, maxDepth: limits.maxDepth };
    return new DerReader(plainView(bytes), 0, bytes.byteLength, 0, 0, budget);
  }

  /** A reader of a view taken from this document, on the same budget and with offsets that continue this one's. */
  within(view: Uint8Array): DerReader {
    const base = this.#base + (view.byteOffset - this.#bytes.byteOffset);
    return new DerReader(view, 0, view.byteLength, base, this.#depth, this.#budget);
  }

  /** Of the next element, from the start of the outermost document. */
  get offset(): number {
    return this.#base + this.#at;
  }

  get atEnd(): boolean {
    return this.#at >= this.#end;
  }

  /** Identifier octet of the next element, or -1 at the end. */
  get nextTag(): number {
    return this.#at < this.#end ? (this.#bytes[this.#at] ?? -1) : -1;
  }

  /** The bytes from `offset` (as {@link offset} gave it) up to the next element: DER of what was read in between. */
  since(offset: number): Uint8Array {
    return this.#bytes.subarray(offset - this.#base, this.#at);
  }

  /** Everything that is left, unread. */
  get rest(): Uint8Array {
    return this.#bytes.subarray(this.#at, this.#end);
  }

  /** Counts elements that were read past this reader. @throws DerError ERR_DER_LIMIT */
  spend(elements: number, what: string): void {
    this.#budget.elements -= elements;
    if (this.#budget.elements < 0) this.fail('ERR_DER_LIMIT', what, 'too many elements');
  }

  /** @throws DerError ERR_DER_TRAILING */
  end(what: string): void {
    if (this.#at === this.#end) return;
    this.fail('ERR_DER_TRAILING', what, `${this.#end - this.#at} bytes after the last element`);
  }

  fail(code: DerErrorCode, what: string, detail: string): never {
    throw new DerError(code, what, this.offset, detail);
  }

  /** A reader of the content of a constructed element. */
  constructed(what: string, tag: number): DerReader {
    this.#expect(what, tag);
    const depth = this.#depth + 1;
    if (depth > this.#budget.maxDepth) {
      this.fail('ERR_DER_LIMIT', what, `nested deeper than ${this.#budget.maxDepth}`);
    }
    const inner = new DerReader(this.#bytes, this.#from, this.#to, this.#base, depth, this.#budget);
    this.#at = this.#to;
    return inner;
  }

  sequence(what: string): DerReader {
    return this.constructed(what, tags.sequence);
  }

  /** SEQUENCE SIZE (1..MAX). */
  sequenceOfSome(what: string, tag: number = tags.sequence): DerReader {
    const inner = this.constructed(what, tag);
    if (inner.atEnd) this.fail('ERR_DER_VALUE', what, 'is empty, at least one element is required');
    return inner;
  }

  /** The elements of a SET OF, which stand in ascending order (X.690 §11.6). */
  setOf<T>(what: string, tag: number, read: (inner: DerReader) => T): T[] {
    const inner = this.constructed(what, tag);
    const values: T[] = [];
    let previous: Uint8Array | undefined;
    while (!inner.atEnd) {
      const start = inner.offset;
      values.push(read(inner));
      const raw = inner.since(start);
      if (previous !== undefined && Buffer.compare(previous, raw) > 0) {
        this.fail(
          'ERR_DER_SET_ORDER',
          what,
          `element ${values.length} sorts before the one before it`,
        );
      }
      previous = raw;
    }
    return values;
  }

  /** Content octets of an INTEGER: minimal two's complement, at least one octet. */
  integer(what: string, tag: number = tags.integer): Uint8Array {
    this.#expect(what, tag);
    this.#checkInteger(what);
    return this.#take();
  }

  /** A non-negative INTEGER up to `max`, itself at most 2^31-1. */
  smallInteger(what: string, max: number, tag: number = tags.integer): number {
    const content = this.integer(what, tag);
    const first = content[0] ?? 0;
    if (first >= 0x80) this.fail('ERR_DER_VALUE', what, 'is negative, at least 0 is required');
    let value = 0;
    if (content.byteLength > 5) value = Number.POSITIVE_INFINITY;
    else for (const octet of content) value = value * 256 + octet;
    if (value > max) this.fail('ERR_DER_VALUE', what, `is ${value}, at most ${max} is allowed`);
    return value;
  }

  /** A BOOLEAN that is not DEFAULT FALSE, or TRUE where it is: a default is never encoded (X.690 §11.5). */
  boolean(what: string, tag: number = tags.boolean): boolean {
    this.#expect(what, tag);
    this.#checkBoolean(what);
    return this.#take()[0] === 0xff;
  }

  /** `BOOLEAN DEFAULT FALSE`: absent is false, and an encoded FALSE is refused. */
  defaultFalse(what: string, tag: number = tags.boolean): boolean {
    if (this.nextTag !== tag) return false;
    if (!this.boolean(what, tag)) {
      this.fail('ERR_DER_DEFAULT', what, 'FALSE is encoded, the default is left out');
    }
    return true;
  }

  null(what: string): void {
    this.#expect(what, tags.null);
    if (this.#take().byteLength !== 0) this.fail('ERR_DER_VALUE', what, 'NULL with content');
  }

  /** Dotted. */
  oid(what: string, tag: number = tags.oid): string {
    this.#expect(what, tag);
    const dotted = decodeOid(this.#bytes, this.#from, this.#to);
    if (dotted === undefined) this.fail('ERR_DER_OID', what, 'malformed object identifier');
    this.#at = this.#to;
    return dotted;
  }

  octetString(what: string, tag: number = tags.octetString): Uint8Array {
    this.#expect(what, tag);
    return this.#take();
  }

  /** A BIT STRING of whole octets. */
  bitString(what: string, tag: number = tags.bitString): Uint8Array {
    this.#expect(what, tag);
    this.#checkBitString(what);
    if (this.#bytes[this.#from] !== 0) {
      this.fail('ERR_DER_BIT_STRING', what, `${this.#bytes[this.#from]} unused bits, 0 expected`);
    }
    return this.#take().subarray(1);
  }

  /** A BIT STRING of any length; its content, the count of unused bits first. */
  looseBitString(what: string, tag: number = tags.bitString): Uint8Array {
    this.#expect(what, tag);
    this.#checkBitString(what);
    return this.#take();
  }

  /** Numbers of the set bits of a NamedBitList, whose trailing zero bits are left out (X.690 §11.2.2). */
  namedBits(what: string, tag: number = tags.bitString): number[] {
    this.#expect(what, tag);
    this.#checkBitString(what);
    const content = this.#take();
    const unused = content[0] ?? 0;
    const last = content[content.byteLength - 1] ?? 0;
    if (content.byteLength > 1 && ((last >> unused) & 1) === 0) {
      this.fail('ERR_DER_BIT_STRING', what, 'trailing zero bits of a named bit list');
    }
    if (content.byteLength > 5) this.fail('ERR_DER_BIT_STRING', what, 'more than 32 named bits');
    const bits: number[] = [];
    for (let bit = 0; bit < (content.byteLength - 1) * 8; bit += 1) {
      if ((content[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) bits.push(bit);
    }
    return bits;
  }

  /**
   * UTCTime or GeneralizedTime; ms since the epoch. Writers must use UTCTime through 2049, readers must be able to process
   * either (RFC 5280 §4.1.2.5), and no two readers could take one for different times.
   */
  time(what: string): number {
    const tag = this.nextTag;
    if (tag !== tags.utcTime && tag !== tags.generalizedTime) {
      this.#expect(what, tags.utcTime);
    }
    return this.#time(what, tag);
  }

  /** A GeneralizedTime of any year, to the second. */
  generalizedTime(what: string): number {
    return this.#time(what, tags.generalizedTime);
  }

  /** An IA5String (or what is implicitly one): octets 0x00–0x7f. */
  ia5(what: string, tag: number = tags.ia5String): string {
    this.#expect(what, tag);
    for (let at = this.#from; at < this.#to; at += 1) {
      if ((this.#bytes[at] ?? 0) > 0x7f) {
        this.fail('ERR_DER_STRING', what, 'octet above 0x7f in an IA5String');
      }
    }
    const content = this.#take();
    return Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString('latin1');
  }

  /** DER of any element, checked throughout. */
  any(what: string): Uint8Array {
    const start = this.#at;
    this.#walk(what, this.#depth);
    return this.#bytes.subarray(start, this.#to);
  }

  #walk(what: string, depth: number): void {
    if (depth > this.#budget.maxDepth) {
      this.fail('ERR_DER_LIMIT', what, `nested deeper than ${this.#budget.maxDepth}`);
    }
    const tag = this.#header(what);
    const to = this.#to;
    if (tag < 0x40) this.#checkUniversal(what, tag);
    if ((tag & 0x20) === 0) {
      this.#at = to;
      return;
    }
    this.#at = this.#from;
    while (this.#at < to) this.#walk(what, depth + 1);
    if (this.#at !== to) this.fail('ERR_DER_LENGTH', what, 'element reaches beyond its parent');
    this.#to = to;
  }

  #checkUniversal(what: string, tag: number): void {
    const constructed = (tag & 0x20) !== 0;
    if (constructed !== constructedUniversals.has(tag & 0x1f)) {
      const form = constructed ? 'constructed' : 'primitive';
      this.fail('ERR_DER_TAG', what, `${tagName(tag & 0x1f)} in ${form} form`);
    }
    if (tag === tags.integer || tag === tags.enumerated) this.#checkInteger(what);
    else if (tag === tags.boolean) this.#checkBoolean(what);
    else if (tag === tags.bitString) this.#checkBitString(what);
    else if (tag === tags.null && this.#to !== this.#from) {
      this.fail('ERR_DER_VALUE', what, 'NULL with content');
    } else if (tag === tags.oid && !decodeOid(this.#bytes, this.#from, this.#to)) {
      this.fail('ERR_DER_OID', what, 'malformed object identifier');
    }
  }

  #checkInteger(what: string): void {
    const length = this.#to - this.#from;
    if (length === 0) this.fail('ERR_DER_INTEGER', what, 'empty integer');
    const first = this.#bytes[this.#from] ?? 0;
    const second = this.#bytes[this.#from + 1] ?? 0;
    if (length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
      this.fail('ERR_DER_INTEGER', what, 'integer is not minimal');
    }
  }

  #checkBoolean(what: string): void {
    const octet = this.#bytes[this.#from];
    if (this.#to - this.#from === 1 && (octet === 0 || octet === 0xff)) return;
    this.fail('ERR_DER_BOOLEAN', what, 'boolean is neither 00 nor ff');
  }

  #checkBitString(what: string): void {
    const length = this.#to - this.#from;
    const unused = this.#bytes[this.#from] ?? 0;
    if (length === 0 || unused > 7 || (length === 1 && unused !== 0)) {
      this.fail('ERR_DER_BIT_STRING', what, 'malformed count of unused bits');
    }
    const last = this.#bytes[this.#to - 1] ?? 0;
    if (length > 1 && (last & ((1 << unused) - 1)) !== 0) {
      this.fail('ERR_DER_BIT_STRING', what, 'unused bits are not zero');
    }
  }

  #time(what: string, tag: number): number {
    this.#expect(what, tag);
    const ms = decodeTime(this.#bytes, this.#from, this.#to, tag);
    if (ms === undefined) {
      this.fail('ERR_DER_TIME', what, 'not a time in UTC to the second, written with "Z"');
    }
    this.#at = this.#to;
    return ms;
  }

  #take(): Uint8Array {
    this.#at = this.#to;
    return this.#bytes.subarray(this.#from, this.#to);
  }

  #expect(what: string, tag: number): void {
    const found = this.nextTag;
    if (found === -1) this.fail('ERR_DER_TRUNCATED', what, `missing, ${tagName(tag)} expected`);
    if (found !== tag) {
      this.fail('ERR_DER_TAG', what, `${tagName(found)} found, ${tagName(tag)} expected`);
    }
    this.#header(what);
  }

  /** Reads identifier and length octets (X.690 §8.1.2, §10.1); leaves the cursor before them. */
  #header(what: string): number {
    const bytes = this.#bytes;
    const left = this.#end - this.#at;
    if (left < 2) this.fail('ERR_DER_TRUNCATED', what, `${left} bytes left, an element needs 2`);
    this.#budget.elements -= 1;
    if (this.#budget.elements < 0) this.fail('ERR_DER_LIMIT', what, 'too many elements');
    const tag = bytes[this.#at] ?? 0;
    if ((tag & 0x1f) === 0x1f) this.fail('ERR_DER_TAG', what, 'tag number above 30');
    let length = bytes[this.#at + 1] ?? 0;
    let octets = 0;
    if (length >= 0x80) {
      octets = length & 0x7f;
      length = this.#longLength(what, octets);
    }
    this.#from = this.#at + 2 + octets;
    this.#to = this.#from + length;
    if (this.#to > this.#end) {
      const room = Math.max(0, this.#end - this.#from);
      this.fail('ERR_DER_TRUNCATED', what, `length ${length}, but ${room} bytes are left`);
    }
    return tag;
  }

  #longLength(what: string, octets: number): number {
    if (octets === 0) this.fail('ERR_DER_LENGTH', what, 'indefinite length');
    if (octets > 4) this.fail('ERR_DER_LENGTH', what, `length of ${octets} octets`);
    let length = 0;
    for (let i = 0; i < octets; i += 1) {
      length = length * 256 + (this.#bytes[this.#at + 2 + i] ?? 0);
    }
    if (length < (octets === 1 ? 0x80 : 256 ** (octets - 1))) {
      this.fail('ERR_DER_LENGTH', what, 'length is not minimal');
    }
    return length;
  }
}

/** SEQUENCE, SET, EXTERNAL and EMBEDDED PDV; all other universal types are primitive in DER. */
const constructedUniversals: ReadonlySet<number> = new Set([0x10, 0x11, 0x08, 0x0b]);

/** Never a Buffer: views of it would be Buffers too. */
function plainView(bytes: Uint8Array): Uint8Array {
  if (bytes.constructor === Uint8Array) return bytes;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
