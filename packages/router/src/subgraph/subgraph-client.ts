import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  type Clock,
  type Counter,
  CountersignError,
  type Histogram,
  type Log,
  type Meter,
} from '@countersign/base';
import { type Dispatcher, Pool } from 'undici';
import { failureOf, isOfMtls, type SubgraphFailure } from './failure.ts';
import { type SubgraphResponse, sendRequest } from './send-request.ts';
import { type SubgraphEndpoint, SubgraphPool, type Trust } from './subgraph-pool.ts';

export interface SubgraphSettings extends SubgraphEndpoint {
  /** `mtls`, or plaintext that the operator chose. */
  readonly transport: 'mtls' | 'plaintext';
  /** Plaintext where mTLS fails. */
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
  readonly lastFailure:
    | { readonly reason: string; readonly detail: string; readonly at: string }
    | undefined;
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
}

/** One subgraph: its connections, retries, and what became of its requests. */
export class SubgraphClient {
  readonly settings: SubgraphSettings;
  readonly #trust: Trust;
  readonly #pool: SubgraphPool;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #seconds: Histogram;
  readonly #results: Counter;
  readonly #fallbackCount: Counter;
  readonly #path: string;
  #plain: Pool | undefined;
  #requests = 0;
  #failures = 0;
  #fallbacks = 0;
  #lastFailure: SubgraphStatus['lastFailure'];

  constructor(settings: SubgraphSettings, trust: Trust, meter: Meter) {
    this.settings = settings;
    this.#trust = trust;
    this.#pool = new SubgraphPool(settings, trust);
    this.#clock = trust.clock;
    this.#log = trust.log;
    this.#seconds = meter.histogram(metrics.seconds);
    this.#results = meter.counter(metrics.results);
    this.#fallbackCount = meter.counter(metrics.fallbacks);
    this.#path = `${settings.url.pathname}${settings.url.search}`;
  }

  /** Never rejects. Failures are counted, and told by whoever has the request's id. */
  async send(request: SentRequest): Promise<SubgraphOutcome> {
    const { name, retry } = this.settings;
    const startedAt = this.#clock.monotonic();
    this.#requests += 1;
    let outcome = await this.#attempt(request);
    for (let again = 1; again <= retry.attempts && mayRepeat(outcome, request); again += 1) {
      // A pooled connection that was closed meanwhile says nothing about the service: the first one costs no wait.
      if (again > 1) await this.#clock.sleep(retry.backoffMs * 2 ** (again - 2), { ref: false });
      outcome = await this.#attempt(request);
    }
    const result = outcome.ok ? 'ok' : outcome.failure.reason;
    this.#results.add(1, { subgraph: name, result });
    this.#seconds.observe((this.#clock.monotonic() - startedAt) / 1000, { subgraph: name });
    if (!outcome.ok) this.#failed(outcome.failure);
    return outcome;
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

  status(): SubgraphStatus {
    const { name, url, transport, spiffeIds } = this.settings;
    const { peer } = this.#pool;
    return {
      ...{ name, url: url.href, transport, expected: transport === 'mtls' ? spiffeIds : [] },
      peer: peer?.spiffeId?.toString(),
      peerSerial: peer?.serialHex,
      peerNotAfter: peer === undefined ? undefined : new Date(peer.notAfter).toISOString(),
      ...{ requests: this.#requests, failures: this.#failures },
      plaintextFallbacks: this.#fallbacks,
      lastFailure: this.#lastFailure,
    };
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
    if (!isOfMtls(outcome.failure)) return outcome;
    this.#fallbacks += 1;
    this.#fallbackCount.add(1, { origin: this.settings.url.origin });
    const { reason, detail } = outcome.failure;
    this.#log.warn({ subgraph: name, reason, detail }, 'mTLS failed: falling back to plaintext');
    return await this.#sendOver(() => this.#plaintext(), request);
  }

  async #sendOver(dispatcher: () => Dispatcher, request: SentRequest): Promise<SubgraphOutcome> {
    try {
      const { maxResponseBytes } = this.settings;
      const response = await sendRequest(dispatcher(), {
        ...{ path: this.#path, headers: request.headers, body: request.body },
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

  #failed({ reason, detail }: SubgraphFailure): void {
    this.#failures += 1;
    this.#lastFailure = { reason, detail, at: new Date(this.#clock.now()).toISOString() };
  }
}

const repeatableStatuses = new Set([502, 503, 504]);

function mayRepeat(outcome: SubgraphOutcome, { isRepeatable, signal }: SentRequest): boolean {
  if (outcome.ok || signal?.aborted === true) return false;
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

const metrics = {
  seconds: {
    name: 'countersign_subgraph_request_seconds',
    help: 'Time from a request to a subgraph to its whole answer, retries included.',
    labels: ['subgraph'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  },
  results: {
    name: 'countersign_subgraph_requests_total',
    help: 'Requests to subgraphs by what became of them.',
    labels: ['subgraph', 'result'],
  },
  fallbacks: {
    name: 'countersign_plaintext_fallbacks_total',
    help: 'Requests that went out in plaintext because mTLS failed and allow_fallback is set.',
    labels: ['origin'],
  },
} as const;
