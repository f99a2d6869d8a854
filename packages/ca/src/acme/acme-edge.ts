import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock, Log } from '@countersign/base';
import type { Certificate } from '@countersign/x509';
import type { EdgeState } from '../ledger/edge/edge-records.ts';
import { type IssueLine, noLine } from '../serve/issue-line.ts';
import { RateLimiter } from '../serve/rate-limiter.ts';
import type { AcmeConfig } from './acme-config.ts';
import type { AcmeAuthority, AcmeContext } from './acme-context.ts';
import { ResourcePatterns } from './acme-resources.ts';
import { AcmeStore } from './acme-store.ts';
import { answerAcme } from './answer-acme.ts';
import { Nonces } from './nonces.ts';
import { ClaimValidators } from './validation/validators.ts';

export interface AcmeEdgeOptions {
  readonly config: AcmeConfig;
  readonly authority: AcmeAuthority;
  readonly state: EdgeState;
  /** As of {@link AcmeContext}; none unless given. */
  readonly attestationRoots?: readonly Certificate[];
  /** None before it unless given. */
  readonly line?: IssueLine | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** ACME (RFC 8555) in front of an authority. It speaks HTTP; whoever serves it brings TLS. */
export class AcmeEdge {
  readonly #context: AcmeContext;
  readonly #closing: AbortController;
  readonly #work: Set<Promise<void>>;

  private constructor(context: AcmeContext, closing: AbortController, work: Set<Promise<void>>) {
    this.#context = context;
    this.#closing = closing;
    this.#work = work;
  }

  static async open(options: AcmeEdgeOptions): Promise<AcmeEdge> {
    const { config, authority, state, attestationRoots = [], line = noLine } = options;
    const { clock, log } = options;
    const closing = new AbortController();
    const work = new Set<Promise<void>>();
    const context: AcmeContext = {
      config,
      authority,
      store: new AcmeStore(state),
      attestationRoots,
      line,
      patterns: new ResourcePatterns(config.resources),
      nonces: await Nonces.open(state, clock),
      validators: new ClaimValidators(config.validation, clock),
      accounts: new RateLimiter(clock, config.limits.accountsPerHour),
      orders: new RateLimiter(clock, config.limits.ordersPerHour),
      inBackground(task) {
        work.add(task);
        void task.finally(() => work.delete(task));
      },
      signal: closing.signal,
      clock,
      log,
    };
    return new AcmeEdge(context, closing, work);
  }

  /** Whether a request's path is below the edge's own. */
  has(path: string): boolean {
    return path.startsWith(`${this.#context.config.path}/`);
  }

  answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    return answerAcme(this.#context, request, response);
  }

  /** Leaves what is looked at to another process, or to the next start. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#work);
  }
}
