import type { Clock, Counter, Gauge, Histogram, Meter } from '@countersign/base';
import type { VerifiedPeer } from '@countersign/spiffe';
import type { SubgraphFailure } from './failure.ts';

/** What became of the requests to one subgraph, for metrics and `/health/mtls`. */
export class SubgraphRecord {
  readonly #name: string;
  readonly #clock: Clock;
  readonly #seconds: Histogram;
  readonly #results: Counter;
  readonly #fallbackCount: Counter;
  readonly #connections: Counter;
  readonly #notAfter: Gauge;
  #requests = 0;
  #failures = 0;
  #fallbacks = 0;
  #lastFailure: LastFailure | undefined;

  constructor(name: string, clock: Clock, meter: Meter) {
    this.#name = name;
    this.#clock = clock;
    this.#seconds = meter.histogram(metrics.seconds);
    this.#results = meter.counter(metrics.results);
    this.#fallbackCount = meter.counter(metrics.fallbacks);
    this.#connections = meter.counter(metrics.connections);
    this.#notAfter = meter.gauge(metrics.notAfter);
  }

  /** A request begins. @returns what is told of its end; a failure, or undefined */
  begin(): (failure: SubgraphFailure | undefined) => void {
    const startedAt = this.#clock.monotonic();
    this.#requests += 1;
    return (failure) => {
      const subgraph = this.#name;
      this.#results.add(1, { subgraph, result: failure?.reason ?? 'ok' });
      this.#seconds.observe((this.#clock.monotonic() - startedAt) / 1000, { subgraph });
      if (failure === undefined) return;
      this.#failures += 1;
      const at = new Date(this.#clock.now()).toISOString();
      this.#lastFailure = { reason: failure.reason, detail: failure.detail, at };
    };
  }

  /** A connection was made, to somebody who proved to be who is expected. */
  connected(peer: VerifiedPeer): void {
    const subgraph = this.#name;
    this.#connections.add(1, { subgraph, peer: peer.spiffeId?.toString() ?? '' });
    this.#notAfter.set(peer.notAfter / 1000, { subgraph });
  }

  fallback(origin: string): void {
    this.#fallbacks += 1;
    this.#fallbackCount.add(1, { origin });
  }

  counts() {
    return {
      ...{ requests: this.#requests, failures: this.#failures },
      plaintextFallbacks: this.#fallbacks,
      lastFailure: this.#lastFailure,
    };
  }
}

export interface LastFailure {
  readonly reason: string;
  readonly detail: string;
  readonly at: string;
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
  connections: {
    name: 'countersign_subgraph_connections_total',
    help: 'Connections to subgraphs that were made, by who proved to answer there.',
    labels: ['subgraph', 'peer'],
  },
  notAfter: {
    name: 'countersign_subgraph_certificate_not_after_seconds',
    help: 'When the certificate that a subgraph showed last ends, in seconds since the Unix epoch.',
    labels: ['subgraph'],
  },
  fallbacks: {
    name: 'countersign_plaintext_fallbacks_total',
    help: 'Requests that went out in plaintext because mTLS failed and allow_fallback is set.',
    labels: ['origin'],
  },
} as const;
