import { CountersignError } from '@countersign/base';

/**
 * One element of x-forwarded-client-cert: what one proxy says of the certificate that its client showed.
 * The names are Envoy's; `By`, `URI` and `DNS` may repeat.
 */
export interface ForwardedClientCert {
  /** URI names of the proxy's own certificate. */
  readonly by: readonly string[];
  /** SHA-256 of the client certificate's DER, lowercase hexadecimal. */
  readonly hash?: string;
  /** The client certificate in PEM. */
  readonly cert?: string;
  /** The client certificate and those after it, in PEM. */
  readonly chain?: string;
  /** RFC 2253 text; write one with {@link subjectForHeader}. URI and DNS names: {@link nameForHeader}. */
  readonly subject?: string;
  readonly uri: readonly string[];
  readonly dns: readonly string[];
}

export const xfccHeader = 'x-forwarded-client-cert';

export const xfccLimits = { maxBytes: 256 * 1024, maxElements: 64, maxPairs: 256 } as const;

type Key = keyof ForwardedClientCert;

/** Envoy's order and spelling. `quoted` values are always in quotes, `encoded` ones in percent encoding as well. */
const keys: readonly {
  readonly name: string;
  readonly key: Key;
  readonly many: boolean;
  readonly quoted: boolean;
  readonly encoded: boolean;
}[] = [
  { name: 'By', key: 'by', many: true, quoted: false, encoded: false },
  { name: 'Hash', key: 'hash', many: false, quoted: false, encoded: false },
  { name: 'Cert', key: 'cert', many: false, quoted: true, encoded: true },
  { name: 'Chain', key: 'chain', many: false, quoted: true, encoded: true },
  { name: 'Subject', key: 'subject', many: false, quoted: true, encoded: false },
  { name: 'URI', key: 'uri', many: true, quoted: false, encoded: false },
  { name: 'DNS', key: 'dns', many: true, quoted: false, encoded: false },
];

/**
 * The header's text: elements in order of the hops, the nearest last.
 *
 * @throws CountersignError ERR_WIRE_XFCC for a value that cannot be written: other than printable ASCII, or with a
 *   backslash at its end, which would swallow the closing quote
 */
export function formatXfcc(...elements: readonly ForwardedClientCert[]): string {
  return elements.map(formatElement).join(',');
}

/** @throws CountersignError ERR_WIRE_XFCC */
export function parseXfcc(header: string): ForwardedClientCert[] {
  if (header.length > xfccLimits.maxBytes) {
    throw malformed(`has ${header.length} characters, at most ${xfccLimits.maxBytes} are read`);
  }
  if (!/^[\x20-\x7e]*$/.test(header)) throw malformed('has other than printable ASCII characters');
  const scanner = new Scanner(header);
  const elements: ForwardedClientCert[] = [];
  do {
    if (elements.length >= xfccLimits.maxElements) {
      throw malformed(`has more than ${xfccLimits.maxElements} elements`);
    }
    elements.push(readElement(scanner));
  } while (scanner.take(','));
  return elements;
}

/**
 * A subject that no reader of the header can take apart wrongly: escaped quotes and backslashes of RFC 4514 text, and
 * everything outside of printable ASCII, become its two-digit form (RFC 4514 §2.4), which means the same.
 */
export function subjectForHeader(rfc4514: string): string {
  return rfc4514.replaceAll(/\\["\\]|"|[^\x20-\x7e]/gu, (found) => {
    const character = found.startsWith('\\') ? found.slice(1) : found;
    const bytes = [...Buffer.from(character, 'utf8')];
    return bytes.map((byte) => `\\${byte.toString(16).padStart(2, '0').toUpperCase()}`).join('');
  });
}

/**
 * A URI or DNS name that no reader of the header can take apart wrongly: quotes, backslashes and everything outside of
 * printable ASCII, which such names cannot have, become percent encoding. Readers differ in what `\\"` means.
 */
export function nameForHeader(name: string): string {
  return name.replaceAll(/["\\]|[^\x20-\x7e]/gu, (found) =>
    [...Buffer.from(found, 'utf8')]
      .map((byte) => `%${byte.toString(16).padStart(2, '0').toUpperCase()}`)
      .join(''),
  );
}

function formatElement(element: ForwardedClientCert): string {
  const pairs: string[] = [];
  for (const { name, key, quoted, encoded } of keys) {
    const value = element[key];
    const values = value === undefined ? [] : typeof value === 'string' ? [value] : value;
    for (const each of values) {
      pairs.push(`${name}=${formatValue(name, encoded ? encodeURIComponent(each) : each, quoted)}`);
    }
  }
  if (pairs.length === 0) throw malformed('needs an element with at least one value');
  return pairs.join(';');
}

function formatValue(name: string, value: string, quoted: boolean): string {
  if (!/^[\x20-\x7e]*$/.test(value)) {
    throw malformed(`cannot have other than printable ASCII characters, found some in ${name}`);
  }
  // Envoy escapes the quote and nothing else.
  if (!quoted && /^[^",;= ]+$/.test(value)) return value;
  if (value.endsWith('\\')) throw malformed(`cannot have a backslash at the end of ${name}`);
  return `"${value.replaceAll('"', '\\"')}"`;
}

function readElement(scanner: Scanner): ForwardedClientCert {
  const found = new Map<Key, string[]>();
  let pairs = 0;
  do {
    pairs += 1;
    if (pairs > xfccLimits.maxPairs) throw malformed(`has more than ${xfccLimits.maxPairs} pairs`);
    readPair(scanner, found);
  } while (scanner.take(';'));
  const single: Partial<Record<'hash' | 'cert' | 'chain' | 'subject', string>> = {};
  for (const key of ['hash', 'cert', 'chain', 'subject'] as const) {
    const [value] = found.get(key) ?? [];
    if (value !== undefined) single[key] = value;
  }
  return {
    by: found.get('by') ?? [],
    ...single,
    uri: found.get('uri') ?? [],
    dns: found.get('dns') ?? [],
  };
}

function readPair(scanner: Scanner, found: Map<Key, string[]>): void {
  scanner.skipSpaces();
  const at = scanner.offset;
  const name = scanner.name();
  // Envoy: keys are case-insensitive, values are not.
  const row = keys.find((each) => each.name.toLowerCase() === name.toLowerCase());
  if (row === undefined) throw malformed(`has unknown key "${name.slice(0, 40)}" at ${at}`);
  if (!scanner.take('=')) throw malformed(`has no "=" after ${row.name} at ${scanner.offset}`);
  const text = scanner.value();
  scanner.skipSpaces();
  const values = found.get(row.key) ?? [];
  if (!row.many && values.length > 0) throw malformed(`has two of ${row.name} in one element`);
  values.push(row.encoded ? decode(row.name, text) : text);
  found.set(row.key, values);
}

function decode(name: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw malformed(`has a ${name} that is not in percent encoding`);
  }
}

class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get offset(): number {
    return this.#at;
  }

  take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  skipSpaces(): void {
    while (this.take(' '));
  }

  name(): string {
    const start = this.#at;
    while (/[A-Za-z]/.test(this.#text[this.#at] ?? '')) this.#at += 1;
    if (start === this.#at) throw malformed(`has no key at ${start}`);
    return this.#text.slice(start, this.#at);
  }

  value(): string {
    return this.take('"') ? this.#quoted() : this.#plain();
  }

  /** Until the next separator. Envoy itself does not quote `=` in URIs, so it is taken as part of one. */
  #plain(): string {
    const start = this.#at;
    while (this.#at < this.#text.length && !/[,;"]/.test(this.#text[this.#at] ?? '')) this.#at += 1;
    if (this.#text[this.#at] === '"') throw malformed(`has a quote inside a value at ${this.#at}`);
    return this.#text.slice(start, this.#at).trimEnd();
  }

  #quoted(): string {
    let value = '';
    for (let from = this.#at; ; from = this.#at) {
      const quote = this.#text.indexOf('"', from);
      if (quote === -1) throw malformed(`has a quoted value that does not end, from ${from - 1}`);
      this.#at = quote + 1;
      const escaped = quote > from && this.#text[quote - 1] === '\\';
      if (!escaped) return value + this.#text.slice(from, quote);
      value += `${this.#text.slice(from, quote - 1)}"`;
    }
  }
}

function malformed(reason: string): CountersignError {
  return new CountersignError('ERR_WIRE_XFCC', `${xfccHeader} header ${reason}`);
}
