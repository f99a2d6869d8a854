import { CountersignError, type ErrorCode, fromBase64, nearestWord } from '@countersign/base';

export interface MessageRules {
  /**
   * What to do with members that nobody asked for. Requests and feed frames refuse them (a misspelt option must not be
   * ignored, a narrowed revocation must not be applied wide); responses pass over them, so that an older client
   * understands a newer authority. Default `refuse`.
   */
  readonly unknown?: 'refuse' | 'ignore';
  /** The code of a malformed member. Default ERR_WIRE_MESSAGE. */
  readonly code?: ErrorCode;
}

/**
 * Reads one JSON object into a typed message: `read` asks for each member by name, what it did not ask for is refused.
 *
 * @param what names the message in errors, such as `enrol request`
 * @throws CountersignError ERR_WIRE_MESSAGE, ERR_WIRE_UNKNOWN_MEMBER
 */
export function readMessage<T>(
  what: string,
  json: unknown,
  read: (members: Members) => T,
  rules: MessageRules = {},
): T {
  const members = new Members(what, json, rules.code ?? 'ERR_WIRE_MESSAGE');
  const message = read(members);
  if (rules.unknown !== 'ignore') members.refuseOthers();
  return message;
}

/** JSON text to a value. @throws CountersignError ERR_WIRE_JSON, ERR_WIRE_TOO_LARGE */
export function parseJsonBody(body: Uint8Array | string, what: string, maxBytes: number): unknown {
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength;
  if (length > maxBytes) {
    throw new CountersignError(
      'ERR_WIRE_TOO_LARGE',
      `${what} has ${length} bytes, at most ${maxBytes} are read`,
      { fields: { what, length, maxBytes } },
    );
  }
  try {
    return JSON.parse(typeof body === 'string' ? body : utf8.decode(body));
  } catch (cause) {
    // The parser's own words quote the text, which may hold a token: they stay in the cause.
    throw new CountersignError('ERR_WIRE_JSON', `${what} is not JSON in UTF-8`, {
      fields: { what },
      cause: new Error(cause instanceof SyntaxError ? 'syntax error' : 'not UTF-8'),
    });
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

interface TextRules {
  /** In UTF-16 units. Default 4096. */
  readonly max?: number;
  readonly min?: number;
  readonly pattern?: RegExp;
  /** What the pattern stands for, as in `a SHA-256 in hexadecimal`. */
  readonly form?: string;
  /** A secret is never quoted in an error. */
  readonly secret?: boolean;
}

/** The members of one message, asked for by name. Every error names the message and the member. */
export class Members {
  readonly #what: string;
  readonly #object: Readonly<Record<string, unknown>>;
  readonly #asked = new Set<string>();
  readonly #code: ErrorCode;

  constructor(what: string, json: unknown, code: ErrorCode) {
    this.#what = what;
    this.#code = code;
    if (typeof json !== 'object' || json === null || Array.isArray(json)) {
      throw new CountersignError(code, `${what} is ${kindOf(json)}, expected an object`, {
        fields: { what },
      });
    }
    this.#object = json as Record<string, unknown>;
  }

  has(name: string): boolean {
    this.#asked.add(name);
    return Object.hasOwn(this.#object, name) && this.#object[name] !== undefined;
  }

  text(name: string, rules: TextRules = {}): string {
    const value = this.#required(name);
    if (typeof value !== 'string') throw this.#wrong(name, value, 'a text');
    const max = rules.max ?? 4096;
    const min = rules.min ?? 1;
    if (value.length > max || value.length < min) {
      throw this.#fail(name, `has ${value.length} characters, expected ${min} to ${max}`);
    }
    if (rules.pattern !== undefined && !rules.pattern.test(value)) {
      const shown = rules.secret === true ? 'has a value that' : `"${shorten(value)}"`;
      throw this.#fail(name, `${shown} is not ${rules.form ?? `of the form ${rules.pattern}`}`);
    }
    return value;
  }

  oneOf<const W extends string>(name: string, words: readonly W[]): W {
    const value = this.text(name, { max: 256 });
    const word = words.find((each) => each === value);
    if (word !== undefined) return word;
    const nearest = nearestWord(value, words);
    const suggestion = nearest === undefined ? `one of ${words.join(', ')}` : `"${nearest}"`;
    throw this.#fail(name, `"${shorten(value)}" is not known, expected ${suggestion}`);
  }

  integer(name: string, range: { readonly min: number; readonly max?: number }): number {
    const value = this.#required(name);
    const max = range.max ?? Number.MAX_SAFE_INTEGER;
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
      throw this.#wrong(name, value, 'a whole number');
    }
    if (value < range.min || value > max) {
      throw this.#fail(name, `is ${value}, expected ${range.min} to ${max}`);
    }
    return value;
  }

  /** A finite number that is not negative, such as elapsed milliseconds with fractions. */
  amount(name: string): number {
    const value = this.#required(name);
    if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
      throw this.#wrong(name, value, 'a number from 0 on');
    }
    return value;
  }

  boolean(name: string): boolean {
    const value = this.#required(name);
    if (typeof value !== 'boolean') throw this.#wrong(name, value, 'true or false');
    return value;
  }

  /** Absent is false. */
  flag(name: string): boolean {
    return this.has(name) ? this.boolean(name) : false;
  }

  /** Strict standard base64. */
  bytes(name: string, maxBytes: number): Uint8Array {
    return this.#bytesOf(name, this.#required(name), maxBytes);
  }

  listOfBytes(
    name: string,
    limits: { readonly maxBytes: number; readonly maxItems: number; readonly minItems?: number },
  ): Uint8Array[] {
    return this.list(name, limits, (item, at) => this.#bytesOf(at, item, limits.maxBytes));
  }

  listOfTexts(
    name: string,
    limits: { readonly maxItems: number; readonly minItems?: number; readonly max?: number },
  ): string[] {
    const max = limits.max ?? 2048;
    return this.list(name, limits, (item, at) => {
      if (typeof item !== 'string') throw this.#wrong(at, item, 'a text');
      if (item.length > max || item.length === 0) {
        throw this.#fail(at, `has ${item.length} characters, expected 1 to ${max}`);
      }
      return item;
    });
  }

  list<T>(
    name: string,
    limits: { readonly maxItems: number; readonly minItems?: number },
    read: (item: unknown, at: string) => T,
  ): T[] {
    const value = this.#required(name);
    if (!Array.isArray(value)) throw this.#wrong(name, value, 'a list');
    const min = limits.minItems ?? 0;
    if (value.length > limits.maxItems || value.length < min) {
      throw this.#fail(name, `has ${value.length} items, expected ${min} to ${limits.maxItems}`);
    }
    return value.map((item, index) => read(item, `${name}[${index}]`));
  }

  object(name: string): Readonly<Record<string, unknown>> {
    const value = this.#required(name);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw this.#wrong(name, value, 'an object');
    }
    return value as Record<string, unknown>;
  }

  /** Absent is undefined; `read` is only called when the member is there. */
  optional<T>(name: string, read: (name: string) => T): T | undefined {
    return this.has(name) ? read(name) : undefined;
  }

  /** For a rule over several members that only the message's own reader knows. */
  fail(name: string, reason: string): CountersignError {
    return this.#fail(name, reason);
  }

  refuseOthers(): void {
    for (const name of Object.keys(this.#object)) {
      if (this.#asked.has(name)) continue;
      const nearest = nearestWord(name, [...this.#asked]);
      const suggestion = nearest === undefined ? '' : `, nearest is "${nearest}"`;
      throw new CountersignError(
        'ERR_WIRE_UNKNOWN_MEMBER',
        `${this.#what} has unknown member "${shorten(name)}"${suggestion}`,
        { fields: { what: this.#what, member: shorten(name), nearest } },
      );
    }
  }

  #required(name: string): unknown {
    if (!this.has(name)) throw this.#fail(name, 'is missing');
    return this.#object[name];
  }

  #bytesOf(name: string, value: unknown, maxBytes: number): Uint8Array {
    if (typeof value !== 'string') throw this.#wrong(name, value, 'a text in base64');
    if (value.length > Math.ceil(maxBytes / 3) * 4) {
      throw this.#fail(name, `has ${value.length} characters, at most ${maxBytes} bytes are read`);
    }
    const bytes = fromBase64(value);
    if (bytes === undefined || bytes.byteLength === 0) {
      throw this.#fail(name, 'is not base64 with padding');
    }
    return bytes;
  }

  #wrong(name: string, value: unknown, expected: string): CountersignError {
    return this.#fail(name, `is ${kindOf(value)}, expected ${expected}`);
  }

  #fail(name: string, reason: string): CountersignError {
    return new CountersignError(this.#code, `${this.#what}: member "${name}" ${reason}`, {
      fields: { what: this.#what, member: name },
    });
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function shorten(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 79)}…`;
}
