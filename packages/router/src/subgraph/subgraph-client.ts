import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Clock, CountersignError, type Log, type Meter } from '@countersign/base';
import type { VerifiedPeer } from '@countersign/spiffe';
import { type Dispatcher, Pool } from 'undici';
import type { SubgraphAnswer } from '../execute/response-error.ts';
import type { EventRequest } from '../subscribe/sse-source.ts';
import { subgraphEvents } from '../subscribe/subgraph-events.ts';
import type { StreamedBody } from '../uploads/forward-files.ts';
import { failureOf, isWithoutMtls, type SubgraphFailure } from './failure.ts';
import { fetchSdl } from './fetch-sdl.ts';
import { type SubgraphResponse, sendRequest } from './send-request.ts';
import type { Subgraph } from './subgraph.ts';
import { type SubgraphEndpoint, SubgraphPool, type Trust } from './subgraph-pool.ts';
import { type LastFailure, SubgraphRecord } from './subgraph-record.ts';

export interface SubgraphSettings extends SubgraphEndpoint {
  readonly protocol: 'graphql' | 'grpc';
  /** `mtls`, or plaintext that the operator chose. */
  readonly transport: 'mtls' | 'plaintext';
  /** Plaintext where no mTLS is to be had. */
  readonly allowFallback: boolean;
  readonly retry: { readonly attempts: number; readonly backoffMs: number };
  readonly maxResponseBytes: number;
  /** Names and values alternating, sent with every request. */
  readonly setHeaders: readonly string[];
  /** Names of the caller's headers that are passed on. */
  readonly propagate: readonly string[];
  readonly subscriptions: { readonly protocol: 'sse' | 'graphql-ws'; readonly path: string };
}

export interface SubgraphStatus {
  readonly name: string;
  readonly url: string;
  readonly transport: 'mtls' | 'plaintext';
  readonly expected: readonly string[];
  /** Of the newest connection. */
  readonly peer: string | undefined;
  readonly peerSerial: string | undefined;
  readonly peerNotAfter: string | undefined;
  readonly requests: number;
  readonly failures: number;
  readonly plaintextFallbacks: number;
  readonly lastFailure: LastFailure | undefined;
}

export type SubgraphOutcome =
  | { readonly ok: true; readonly response: SubgraphResponse }
  | { readonly ok: false; readonly failure: SubgraphFailure };

export interface SentRequest {
  readonly body: string;
  /** Names and values alternating. */
  readonly headers: readonly string[];
  /** Whether it may be sent again: a query. */
  readonly isRepeatable: boolean;
  readonly signal: AbortSignal | undefined;
  /** Instead of the body: files, which can be sent once. */
  readonly stream?: StreamedBody | undefined;
  readonly report: ReportFailure;
}

/** Tells the operator of a part of the answer that failed; gives the id that the caller is told. */
export type ReportFailure = (failure: SubgraphFailure) => string;

/** One subgraph: its connections, retries, and what became of its requests. */
export class SubgraphClient implements Subgraph {
  readonly settings: SubgraphSettings;
  readonly #trust: Trust;
  readonly #pool: SubgraphPool;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #record: SubgraphRecord;
  readonly #path: string;
  #plain: Pool | undefined;

  constructor(settings: SubgraphSettings, trust: Trust, meter: Meter) {
    this.settings = settings;
    this.#trust = trust;
    this.#clock = trust.clock;
    this.#log = trust.log;
    this.#record = new SubgraphRecord(settings.name, trust.clock, meter);
    this.#pool = new SubgraphPool(settings, trust, (peer) => this.#record.connected(peer));
    this.#path = `${settings.url.pathname}${settings.url.search}`;
  }

  /** Never rejects. Failures are counted, and told by whoever has the request's id. */
  async send(request: SentRequest): Promise<SubgraphOutcome> {
    const { retry } = this.settings;
    const ended = this.#record.begin();
    let outcome = await this.#attempt(request);
    for (let again = 1; again <= retry.attempts && mayRepeat(outcome, request); again += 1) {
      // A pooled connection that was closed meanwhile says nothing about the service: the first one costs no wait.
      if (again > 1) await this.#clock.sleep(retry.backoffMs * 2 ** (again - 2), { ref: false });
      outcome = await this.#attempt(request);
    }
    ended(outcome.ok ? undefined : outcome.failure);
    return outcome;
  }

  events(request: EventRequest): AsyncGenerator<SubgraphAnswer> {
    return subgraphEvents(this, request);
  }

  sdl(): Promise<string> {
    return fetchSdl(this);
  }

  /** Where subscriptions are opened. @throws CountersignError */
  dispatcher(): Dispatcher {
    return this.settings.transport === 'mtls' ? this.#pool.current() : this.#plaintext();
  }

  /** A connection of its own, for a WebSocket. */
  async dial(signal: AbortSignal): Promise<Duplex> {
    const { transport, url } = this.settings;
    if (transport === 'mtls') return (await this.#pool.dial(signal)).socket;
    const port = url.port === '' ? 80 : Number(url.port);
    return connect({ host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port, signal });
  }

  get trust(): Trust {
    return this.#trust;
  }

  get peer(): VerifiedPeer | undefined {
    return this.#pool.peer;
  }

  status(): SubgraphStatus {
    return { ...describeSubgraph(this.settings, this.peer), ...this.#record.counts() };
  }

  /** Lets requests in flight end. */
  async close(): Promise<void> {
    await Promise.all([this.#pool.close(), this.#plain?.close()]);
  }

  async destroy(): Promise<void> {
    await Promise.all([this.#pool.destroy(), this.#plain?.destroy()]);
  }

  async #attempt(request: SentRequest): Promise<SubgraphOutcome> {
    const outcome = await this.#sendOver(() => this.dispatcher(), request);
    const { transport, allowFallback, name } = this.settings;
    if (outcome.ok || transport === 'plaintext' || !allowFallback) return outcome;
    if (!isWithoutMtls(outcome.failure) || request.stream !== undefined) return outcome;
    this.#record.fallback(this.settings.url.origin);
    const { reason, detail } = outcome.failure;
    this.#log.warn({ subgraph: name, reason, detail }, 'mTLS failed: falling back to plaintext');
    return await this.#sendOver(() => this.#plaintext(), request);
  }

  async #sendOver(dispatcher: () => Dispatcher, request: SentRequest): Promise<SubgraphOutcome> {
    try {
      const { maxResponseBytes } = this.settings;
      const response = await sendRequest(dispatcher(), {
        path: this.#path,
        headers: request.stream === undefined ? request.headers : headersOf(request),
        body: request.stream?.body ?? request.body,
        ...{ maxResponseBytes, signal: request.signal },
      });
      const wrong = wrongWith(response);
      return wrong === undefined
        ? { ok: true, response }
        : { ok: false, failure: failureOf(wrong) };
    } catch (thrown) {
      return { ok: false, failure: failureOf(thrown) };
    }
  }

  #plaintext(): Pool {
    const { url, timeoutMs, transport } = this.settings;
    // A fallback keeps the port; an https: URL without mTLS is verified by the system's roots.
    const scheme = transport === 'plaintext' ? url.protocol : 'http:';
    this.#plain ??= new Pool(`${scheme}//${url.host}`, {
      connections: 256,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
    });
    return this.#plain;
  }
}

/** Who is asked, who must answer, and who did at the newest connection. */
export function describeSubgraph(
  { name, url, transport, spiffeIds }: SubgraphSettings,
  peer: VerifiedPeer | undefined,
) {
  return {
    ...{ name, url: url.href, transport, expected: transport === 'mtls' ? spiffeIds : [] },
    peer: peer?.spiffeId?.toString(),
    peerSerial: peer?.serialHex,
    peerNotAfter: peer === undefined ? undefined : new Date(peer.notAfter).toISOString(),
  };
}

/** A form could come from any web page: the header tells a subgraph that looks for it that this one does not. */
function headersOf({ headers, stream }: SentRequest): readonly string[] {
  const told = headers.flatMap((name, i) => {
    if (i % 2 === 1) return [];
    const value = name === 'content-type' ? stream?.contentType : headers[i + 1];
    return [name, value ?? ''];
  });
  return [...told, 'apollo-require-preflight', 'true'];
}

const repeatableStatuses = new Set([502, 503, 504]);

function mayRepeat(
  outcome: SubgraphOutcome,
  { isRepeatable, signal, stream }: SentRequest,
): boolean {
  if (outcome.ok || signal?.aborted === true || stream !== undefined) return false;
  const { failure } = outcome;
  if (failure.reason === 'unreachable') return true;
  if (!isRepeatable) return false;
  return failure.reason === 'broke-off' || repeatableStatuses.has(failure.fields.status as number);
}

/** An answer with a JSON body is a GraphQL one whatever its status (GraphQL over HTTP §6.4); others are not. */
function wrongWith({ status, contentType, text }: SubgraphResponse): CountersignError | undefined {
  const isJson = /^application\/([a-z.-]+\+)?json\b/i.test(contentType);
  if (isJson && (status === 200 || /^\s*\{/.test(text))) return undefined;
  const beginning = text.slice(0, 200);
  return new CountersignError(
    'ERR_SUBGRAPH_RESPONSE',
    `answered ${status} with "${contentType === '' ? 'no content-type' : contentType}"`,
    { fields: { status, contentType, beginning } },
  );
}
