import { CountersignError, concatBytes, messageOf } from '@countersign/base';
import { errorOfProblem, parseProblem, problemContentType } from './problem.ts';
import { parseJsonBody } from './read-message.ts';
import { retryAfterOf } from './retry-after.ts';
import type { Route } from './routes.ts';

export interface TransportRequest {
  readonly method: 'GET' | 'POST';
  /** Path and query. */
  readonly path: string;
  /** JSON text. */
  readonly body?: string;
  /** Ends the request at any stage, also while its answer's body is read. */
  readonly signal: AbortSignal;
}

export interface TransportResponse {
  readonly status: number;
  /** Lowercase names. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Leaving the loop early must let go of the connection. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** One HTTP exchange with the authority, authenticated however its maker knows: mTLS, or the admin socket. */
export type Transport = (request: TransportRequest) => Promise<TransportResponse>;

export interface AuthorityExchangeOptions {
  readonly transport: Transport;
  /** Where it goes, for messages: `https://127.0.0.1:8440`. */
  readonly url: string;
  /** For a whole answer, and for the head of the feed's. Default 15,000. */
  readonly timeoutMs?: number;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

/**
 * Exchanges with the authority over a transport, each held to its route: its time, the length and kind of its answer.
 * Throws the authority's own code where it refused, ERR_WIRE_UNREACHABLE or ERR_TIMEOUT where it did not answer,
 * ERR_WIRE_* where it answered something else.
 */
export class AuthorityExchange {
  readonly url: string;
  readonly #transport: Transport;
  readonly #timeoutMs: number;

  constructor(options: AuthorityExchangeOptions) {
    this.url = options.url;
    this.#transport = options.transport;
    this.#timeoutMs = options.timeoutMs ?? 15_000;
  }

  /** Waits up to `moreMs` longer than the exchange's own time. */
  async message<T>(
    route: Route,
    body: string | undefined,
    parse: (json: unknown) => T,
    options: CallOptions,
    moreMs = 0,
  ): Promise<T> {
    const bytes = await this.call(route, body, options, moreMs);
    return parse(parseJsonBody(bytes, `${route.name} answer`, route.maxAnswerBytes));
  }

  /** The answer's bytes, whole. */
  async call(
    route: Route,
    body: string | undefined,
    options: CallOptions,
    moreMs = 0,
  ): Promise<Uint8Array> {
    const timeout = AbortSignal.timeout(this.#timeoutMs + moreMs);
    const signal = anyOf(options.signal, timeout);
    try {
      const response = await this.#transport({
        method: route.method,
        path: route.path,
        signal,
        ...(body === undefined ? {} : { body }),
      });
      if (response.status >= 300) throw await this.#refusal(route, response);
      checkContentType(route, response);
      return await readWhole(response.body, route.maxAnswerBytes, `${route.name} answer`);
    } catch (thrown) {
      throw this.#explain(thrown, route, options.signal, timeout);
    }
  }

  /** What `read` makes of an answer that goes on, until either side ends it; the time covers the answer's head alone. */
  async *stream<T>(
    route: Route,
    path: string,
    options: CallOptions,
    read: (body: AsyncIterable<Uint8Array>) => AsyncIterable<T>,
  ): AsyncGenerator<T, void> {
    const closing = new AbortController();
    const signal = anyOf(options.signal, closing.signal);
    try {
      const response = await this.#open(route, path, signal, closing);
      checkContentType(route, response);
      yield* read(response.body);
    } catch (thrown) {
      throw this.#explain(thrown, route, options.signal, closing.signal);
    } finally {
      closing.abort();
    }
  }

  async #open(
    route: Route,
    path: string,
    signal: AbortSignal,
    closing: AbortController,
  ): Promise<TransportResponse> {
    const timer = setTimeout(() => closing.abort(timedOut()), this.#timeoutMs);
    try {
      const response = await this.#transport({ method: route.method, path, signal });
      if (response.status >= 300) throw await this.#refusal(route, response);
      return response;
    } finally {
      clearTimeout(timer);
    }
  }

  async #refusal(route: Route, response: TransportResponse): Promise<CountersignError> {
    const attempted = `${route.method} ${this.url}${route.path}`;
    const body = await readWhole(response.body, 64 * 1024, `${route.name} refusal`);
    const { status } = response;
    const retryAfterMs = retryAfterOf(response.headers);
    if (contentTypeOf(response) !== problemContentType)
      return errorOfProblem({ status, retryAfterMs }, attempted);
    return errorOfProblem({ ...parseProblem(body, status), retryAfterMs }, attempted);
  }

  #explain(
    thrown: unknown,
    route: Route,
    callers: AbortSignal | undefined,
    own: AbortSignal,
  ): unknown {
    if (callers?.aborted === true) return callers.reason;
    const attempted = `${route.method} ${this.url}${route.path}`;
    if (own.aborted && own.reason instanceof DOMException && own.reason.name === 'TimeoutError') {
      const reason = 'no answer in time';
      return new CountersignError('ERR_TIMEOUT', `${attempted}: ${reason}`, { cause: thrown });
    }
    if (thrown instanceof CountersignError) return thrown;
    return new CountersignError('ERR_WIRE_UNREACHABLE', `${attempted}: ${messageOf(thrown)}`, {
      fields: { url: this.url },
      cause: thrown,
    });
  }
}

function anyOf(callers: AbortSignal | undefined, own: AbortSignal): AbortSignal {
  return callers === undefined ? own : AbortSignal.any([callers, own]);
}

function timedOut(): DOMException {
  return new DOMException('the head of the answer did not come in time', 'TimeoutError');
}

async function readWhole(
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
  what: string,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of body) {
    length += part.byteLength;
    if (length > maxBytes) {
      throw new CountersignError('ERR_WIRE_TOO_LARGE', `${what} has more than ${maxBytes} bytes`, {
        fields: { maxBytes },
      });
    }
    parts.push(part);
  }
  return concatBytes(...parts);
}

function checkContentType(route: Route, response: TransportResponse): void {
  const found = contentTypeOf(response);
  if (found === route.answer) return;
  throw new CountersignError(
    'ERR_WIRE_MEDIA_TYPE',
    `${route.name} answer has content type "${found}", expected "${route.answer}"`,
    { fields: { found, expected: route.answer } },
  );
}

function contentTypeOf(response: TransportResponse): string {
  const header = response.headers['content-type'];
  const first = typeof header === 'string' ? header : (header?.[0] ?? '');
  return (first.split(';')[0] ?? '').trim().toLowerCase();
}
