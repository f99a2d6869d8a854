import { lookup as resolve } from 'node:dns';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { isIP, type LookupFunction } from 'node:net';
import { type Clock, CountersignError, messageOf, nodeHttp } from '@countersign/base';
import { AddressGuard } from '@countersign/wire';
import { LookupSlots } from './lookup-slots.ts';

export interface GuardedHttpOptions {
  /** Networks that a certificate may name beside the public ones. */
  readonly allow?: readonly string[];
  /** For one exchange, from the connection to the last byte; default 5 s. */
  readonly timeoutMs?: number;
  /** Default 16. */
  readonly maxConcurrent?: number;
  readonly clock: Clock;
}

export interface HttpQuestion {
  readonly url: string;
  /** Written by the operator and not by a certificate: it may be anywhere. */
  readonly isConfigured: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent with POST; without one it is a GET. */
  readonly body?: Uint8Array;
  /** Of the answer's body. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

export type HttpAnswer =
  | {
      readonly status: 200;
      readonly headers: IncomingMessage['headers'];
      readonly body: Uint8Array;
    }
  | { readonly status: 304 };

/**
 * Plain HTTP as revocation lists and responders are reached by (RFC 5280 §8: https would need revocation to be checked
 * first; what is fetched is signed). Bounded in time, size and number; no redirects, no cookies, no proxies, no
 * connection kept, and only to addresses that {@link AddressGuard} lets pass, looked at when the connection is made.
 */
export class GuardedHttp {
  readonly #guard: AddressGuard;
  readonly #slots: LookupSlots;
  readonly #clock: Clock;
  readonly #timeoutMs: number;

  /** @throws CountersignError ERR_USAGE for an `allow` that is no network */
  constructor(options: GuardedHttpOptions) {
    const { allow = [], timeoutMs = 5000, maxConcurrent = 16 } = options;
    this.#guard = new AddressGuard(allow);
    this.#slots = new LookupSlots({ maxConcurrent, maxPerHost: 4, maxWaiting: 1024 });
    this.#clock = options.clock;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * @throws CountersignError ERR_REVOCATION_ADDRESS, ERR_REVOCATION_BUSY, ERR_REVOCATION_UNREACHABLE,
   *   ERR_REVOCATION_ANSWER
   */
  async ask(question: HttpQuestion): Promise<HttpAnswer> {
    const target = this.#targetOf(question);
    const release = await this.#slots.take(target.host);
    const over = new AbortController();
    try {
      return await this.#exchange(target, question, over);
    } catch (thrown) {
      throw failed(question, thrown);
    } finally {
      over.abort();
      release();
    }
  }

  async #exchange(target: URL, question: HttpQuestion, over: AbortController): Promise<HttpAnswer> {
    const giveUp = new AbortController();
    const timeoutMs = this.#timeoutMs;
    this.#clock.sleep(timeoutMs, { signal: over.signal, ref: false }).then(
      () => giveUp.abort(unreachable(question, `no whole answer within ${timeoutMs} ms`)),
      () => {},
    );
    const signal = AbortSignal.any([question.signal, giveUp.signal]);
    const asked = this.#send(target, question, signal);
    try {
      return await answerOf(await headOf(asked), question);
    } catch (thrown) {
      throw signal.aborted ? signal.reason : thrown;
    } finally {
      asked.destroy();
    }
  }

  #send(target: URL, question: HttpQuestion, signal: AbortSignal): ClientRequest {
    const { body, headers, isConfigured } = question;
    const asked = nodeHttp().request(target, {
      method: body === undefined ? 'GET' : 'POST',
      agent: false,
      headers: {
        'user-agent': 'countersign',
        'accept-encoding': 'identity',
        ...headers,
        ...(body !== undefined && { 'content-length': body.byteLength }),
      },
      maxHeaderSize: 16_384,
      signal,
      ...(!isConfigured && { lookup: guardedLookup(this.#guard, question) }),
    });
    asked.on('error', () => {});
    asked.end(body);
    return asked;
  }

  #targetOf(question: HttpQuestion): URL {
    const { url: text, isConfigured } = question;
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || text.length > 2048) throw refused(question, 'is no address');
    if (url.protocol !== 'http:') throw refused(question, 'is not plain http');
    if (url.username !== '' || url.password !== '') throw refused(question, 'has a user name');
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const why = isConfigured || isIP(host) === 0 ? undefined : this.#guard.refuses(host);
    if (why !== undefined) throw refused(question, why);
    return url;
  }
}

async function headOf(asked: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    asked.once('response', resolve);
    asked.once('error', reject);
  });
}

async function answerOf(response: IncomingMessage, question: HttpQuestion): Promise<HttpAnswer> {
  const { statusCode, headers } = response;
  if (statusCode === 304) return { status: 304 };
  if (headers.location !== undefined && statusCode !== 200) {
    const to = headers.location.slice(0, 200);
    throw unusable(question, `it redirects to "${to}", which is not followed`);
  }
  if (statusCode !== 200) throw unusable(question, `status ${statusCode}, expected 200`);
  const encoding = headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') throw unusable(question, `content encoding "${encoding}"`);
  return { status: 200, headers, body: await bodyOf(response, question) };
}

async function bodyOf(response: IncomingMessage, question: HttpQuestion): Promise<Uint8Array> {
  const { maxBytes } = question;
  const announced = Number(response.headers['content-length'] ?? 0);
  const tooLong = () => unusable(question, `longer than ${maxBytes} bytes`);
  if (announced > maxBytes) throw tooLong();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    length += chunk.byteLength;
    if (length > maxBytes) throw tooLong();
    chunks.push(chunk);
  }
  const { buffer, byteOffset } = Buffer.concat(chunks, length);
  return new Uint8Array(buffer, byteOffset, length);
}

/** Names are looked at by what they resolve to, for this very connection: a second look-up could answer otherwise. */
function guardedLookup(guard: AddressGuard, question: HttpQuestion): LookupFunction {
  return function lookUpGuarded(hostname, options, callback) {
    resolve(hostname, { ...options, all: true }, (thrown, found) => {
      if (thrown !== null) return callback(thrown, '', 0);
      const reasons = found.map(({ address }) => guard.refuses(address));
      const asked = found.filter((_, i) => reasons[i] === undefined);
      const [first] = asked;
      if (first === undefined) {
        return callback(refused(question, reasons.find((why) => why) ?? 'has no address'), '', 0);
      }
      if (options.all === true) return callback(null, asked);
      return callback(null, first.address, first.family);
    });
  };
}

function failed(question: HttpQuestion, thrown: unknown): CountersignError {
  if (thrown instanceof CountersignError) return thrown;
  const { code } = thrown as NodeJS.ErrnoException;
  return unreachable(question, code ?? messageOf(thrown), thrown);
}

function refused(question: HttpQuestion, why: string): CountersignError {
  return errorOf('ERR_REVOCATION_ADDRESS', question, why);
}

function unreachable(question: HttpQuestion, why: string, cause?: unknown): CountersignError {
  return errorOf('ERR_REVOCATION_UNREACHABLE', question, why, cause);
}

function unusable(question: HttpQuestion, why: string): CountersignError {
  return errorOf('ERR_REVOCATION_ANSWER', question, why);
}

function errorOf(
  code: 'ERR_REVOCATION_ADDRESS' | 'ERR_REVOCATION_UNREACHABLE' | 'ERR_REVOCATION_ANSWER',
  { url }: HttpQuestion,
  why: string,
  cause?: unknown,
): CountersignError {
  const shown = url.slice(0, 200);
  return new CountersignError(code, `ask "${shown}": ${why}`, { fields: { url: shown }, cause });
}
