import { DerError } from '../der-error.ts';
import { certificateLimits, type DerLimits } from '../der-limits.ts';
import { der } from '../der-writer.ts';
import { tags } from '../tags.ts';

interface Left {
  elements: number;
  readonly maxDepth: number;
}

interface Read {
  readonly der: Uint8Array;
  readonly end: number;
}

/**
 * A document in BER (X.690 §8) with the lengths of DER: indefinite ones counted, octet strings in pieces joined. CMS may be
 * written so (RFC 5652 §2). Values themselves stay as they are, for the strict reader to judge.
 *
 * @param what names the document in errors
 * @throws DerError ERR_DER_LIMIT, ERR_DER_TRUNCATED, ERR_DER_LENGTH, ERR_DER_TAG, ERR_DER_TRAILING
 */
export function derOfBer(
  bytes: Uint8Array,
  what: string,
  limits: DerLimits = certificateLimits,
): Uint8Array {
  if (bytes.byteLength > limits.maxBytes) {
    const sides = `${bytes.byteLength} bytes, at most ${limits.maxBytes} are read`;
    throw new DerError('ERR_DER_LIMIT', what, 0, sides);
  }
  const left = { elements: limits.maxElements, maxDepth: limits.maxDepth };
  const { der: found, end } = readElement({ bytes, what, left }, 0, bytes.byteLength, 0);
  if (end === bytes.byteLength) return found;
  const rest = `${bytes.byteLength - end} bytes after the document`;
  throw new DerError('ERR_DER_TRAILING', what, end, rest);
}

interface Source {
  readonly bytes: Uint8Array;
  readonly what: string;
  readonly left: Left;
}

function readElement(source: Source, at: number, to: number, depth: number): Read {
  const { bytes, what, left } = source;
  const fail = (
    code: 'ERR_DER_LIMIT' | 'ERR_DER_LENGTH' | 'ERR_DER_TAG',
    detail: string,
  ): never => {
    throw new DerError(code, what, at, detail);
  };
  left.elements -= 1;
  if (left.elements < 0) fail('ERR_DER_LIMIT', 'too many elements');
  if (depth > left.maxDepth) fail('ERR_DER_LIMIT', `nested deeper than ${left.maxDepth}`);
  const tag = octetAt(source, at, to);
  if ((tag & 0x1f) === 0x1f) fail('ERR_DER_TAG', 'a tag of several octets');
  const isConstructed = (tag & 0x20) !== 0;
  const { from, length } = readLength(source, at + 1, to);
  if (!isConstructed) {
    if (length === undefined) fail('ERR_DER_LENGTH', 'an indefinite length in primitive form');
    const end = from + (length ?? 0);
    return { der: der.element(tag, [bytes.subarray(from, end)]), end };
  }
  const parts: Uint8Array[] = [];
  let next = from;
  const stop = length === undefined ? to : from + length;
  for (;;) {
    if (length !== undefined && next === stop) break;
    // X.690 §8.1.5: two zero octets end what has no length
    if (length === undefined && octetAt(source, next, to) === 0) {
      if (octetAt(source, next + 1, to) !== 0) fail('ERR_DER_LENGTH', 'an end with a length');
      next += 2;
      break;
    }
    const child = readElement(source, next, stop, depth + 1);
    parts.push(child.der);
    next = child.end;
  }
  if (tag !== piecesOfOctets) return { der: der.element(tag, parts), end: next };
  if (parts.some((part) => part[0] !== tags.octetString)) {
    fail('ERR_DER_TAG', 'an octet string with other pieces than octet strings');
  }
  return { der: der.element(tags.octetString, parts.map(contentOf)), end: next };
}

/** X.690 §8.7.3 */
const piecesOfOctets = tags.octetString | 0x20;

function readLength(
  source: Source,
  at: number,
  to: number,
): { readonly from: number; readonly length: number | undefined } {
  const first = octetAt(source, at, to);
  if (first === 0x80) return { from: at + 1, length: undefined };
  if (first < 0x80) return checked(source, at + 1, first, to);
  const octets = first & 0x7f;
  if (octets > 4) throw new DerError('ERR_DER_LENGTH', source.what, at, 'a length of gigabytes');
  let length = 0;
  for (let i = 1; i <= octets; i += 1) length = length * 256 + octetAt(source, at + i, to);
  return checked(source, at + 1 + octets, length, to);
}

function checked(source: Source, from: number, length: number, to: number) {
  if (from + length <= to) return { from, length };
  const sides = `${length} bytes are announced, ${Math.max(0, to - from)} are there`;
  throw new DerError('ERR_DER_TRUNCATED', source.what, from, sides);
}

function octetAt({ bytes, what }: Source, at: number, to: number): number {
  const octet = at < to ? bytes[at] : undefined;
  if (octet !== undefined) return octet;
  throw new DerError('ERR_DER_TRUNCATED', what, at, 'ends within an element');
}

/** Of an element that was written here. */
function contentOf(element: Uint8Array): Uint8Array {
  const first = element[1] ?? 0;
  return element.subarray(first < 0x80 ? 2 : 2 + (first & 0x7f));
}
