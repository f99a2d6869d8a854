import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '@countersign/base';
import type { VerifiedPeer } from '@countersign/spiffe';
import type { Caller } from '../operation/caller.ts';
import type { PreparedOperation } from '../operation/prepare-operation.ts';
import type { Subgraph } from '../subgraph/subgraph.ts';

/** Where spans go, if anywhere. */
export interface Tracer {
  begin(asked: TracedOperation): OperationSpan;
  /** Sends what is there, for as long as that may take. */
  close(): Promise<void>;
}

export interface TracedOperation {
  readonly caller: Caller;
  readonly headers: IncomingHttpHeaders;
  readonly over: 'http' | 'sse' | 'websocket';
}

/** A span of an operation. Neither documents nor variables are told to it: they may hold secrets. */
export interface OperationSpan {
  readonly traceId: string;
  fetch(asked: TracedFetch): FetchSpan;
  end(outcome: OperationOutcome): void;
}

export interface OperationOutcome {
  readonly name: string | undefined;
  readonly kind: string;
  /** `none`, `errors`, or the code of the refusal. */
  readonly result: string;
}

export interface TracedFetch {
  readonly subgraph: Subgraph;
  readonly kind: string;
}

export interface FetchSpan {
  /** What the subgraph is told of the trace, names and values alternating. */
  readonly headers: readonly string[];
  end(result: string, peer: VerifiedPeer | undefined): void;
}

/** One fetch of an operation, for the log. */
export interface FetchFact {
  readonly subgraph: string;
  /** From the beginning of the operation. */
  readonly atMs: number;
  readonly ms: number;
  /** `ok`, `cached`, or the reason of the failure. */
  readonly result: string;
}

/** Of one operation, as many as a line of a log should have. */
const maxFacts = 50;

/** Watches one operation: where its time goes, for the log, and its spans if there is a tracer. */
export class OperationWatch {
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #span: OperationSpan | undefined;
  readonly #facts: FetchFact[] = [];

  constructor(clock: Clock, span: OperationSpan | undefined) {
    this.#clock = clock;
    this.#span = span;
    this.#startedAt = clock.monotonic();
  }

  /** What the operation turned out to be, once it is prepared. */
  operation: PreparedOperation | undefined;

  get traceId(): string | undefined {
    return this.#span?.traceId;
  }

  /** The fetches that have ended, in that order; the first fifty. */
  get fetches(): readonly FetchFact[] {
    return this.#facts;
  }

  /** A fetch begins. */
  fetch(subgraph: Subgraph, kind: string): WatchedFetch {
    const span = this.#span?.fetch({ subgraph, kind });
    const from = this.#clock.monotonic();
    return {
      headers: span?.headers ?? none,
      end: (result) => {
        span?.end(result, subgraph.peer);
        if (this.#facts.length >= maxFacts) return;
        const [atMs, ms] = [from - this.#startedAt, this.#clock.monotonic() - from].map(tenths);
        const { name } = subgraph.settings;
        this.#facts.push({ subgraph: name, atMs: atMs ?? 0, ms: ms ?? 0, result });
      },
    };
  }

  /** @returns milliseconds since it began */
  end(outcome: OperationOutcome): number {
    this.#span?.end(outcome);
    return this.#clock.monotonic() - this.#startedAt;
  }
}

export interface WatchedFetch {
  readonly headers: readonly string[];
  end(result: string): void;
}

const none: readonly string[] = [];

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}
