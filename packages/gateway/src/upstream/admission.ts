import { CountersignError } from '@countersign/base';
import type { ClusterModel } from '../model/cluster-model.ts';
import type { UpstreamMetrics } from './upstream-metrics.ts';
import type { UpstreamController, UpstreamHandler } from './upstream-request.ts';

/** Envoy's circuit breakers: what may be under way to a cluster at the same time. What is beyond is refused, not queued. */
export class Admission {
  readonly #model: Pick<ClusterModel, 'name' | 'limits' | 'maxConnections'>;
  readonly #metrics: UpstreamMetrics;
  #requests = 0;
  #retries = 0;
  #pending = 0;
  #tunnels = 0;

  constructor(
    model: Pick<ClusterModel, 'name' | 'limits' | 'maxConnections'>,
    metrics: UpstreamMetrics,
  ) {
    this.#model = model;
    this.#metrics = metrics;
  }

  /** Whether one more request may be under way; who is told so calls {@link ended} when it is over. */
  begin(): boolean {
    if (this.#requests >= this.#model.limits.maxRequests) return this.#refuse('requests');
    this.#requests += 1;
    return true;
  }

  ended(): void {
    this.#requests -= 1;
  }

  /** Whether a retry is within the budget; who is told so calls {@link retryEnded} when it is over. */
  beginRetry(): boolean {
    const { maxRetries, retryBudget } = this.#model.limits;
    const most =
      retryBudget === undefined
        ? maxRetries
        : Math.max(retryBudget.minConcurrency, (retryBudget.percent / 100) * this.#requests);
    if (this.#retries + 1 > most) return this.#refuse('retries');
    this.#retries += 1;
    return true;
  }

  retryEnded(): void {
    this.#retries -= 1;
  }

  /** Whether one more connection of bytes may be passed on; who is told so calls {@link tunnelEnded} when it is over. */
  beginTunnel(): boolean {
    if (this.#tunnels >= this.#model.maxConnections) return this.#refuse('connections');
    this.#tunnels += 1;
    return true;
  }

  tunnelEnded(): void {
    this.#tunnels -= 1;
  }

  /** A handler for a request that has to wait for a connection; undefined where as many as may be wait already. */
  waiting(handler: UpstreamHandler): UpstreamHandler | undefined {
    const { maxPending } = this.#model.limits;
    if (maxPending === undefined) return handler;
    if (this.#pending >= maxPending) {
      this.#refuse('pending');
      return undefined;
    }
    this.#pending += 1;
    return new Waiting(handler, () => {
      this.#pending -= 1;
    });
  }

  overflow(): CountersignError {
    const { name, limits } = this.#model;
    const message = `${limits.maxPending} requests to "${name}" wait for a connection, no more are let wait`;
    return new CountersignError('ERR_UPSTREAM_OVERLOADED', message, { fields: { cluster: name } });
  }

  #refuse(limit: string): false {
    this.#metrics.overflow(this.#model.name, limit);
    return false;
  }
}

/** Says once when a request has got its connection, or never will. */
class Waiting implements UpstreamHandler {
  readonly #handler: UpstreamHandler;
  #over: (() => void) | undefined;

  constructor(handler: UpstreamHandler, over: () => void) {
    this.#handler = handler;
    this.#over = over;
  }

  onRequestStart(controller: UpstreamController): void {
    this.#end();
    this.#handler.onRequestStart(controller);
  }

  onRequestUpgrade(...told: Parameters<UpstreamHandler['onRequestUpgrade']>): void {
    this.#handler.onRequestUpgrade(...told);
  }

  onResponseStart(controller: UpstreamController, status: number): void {
    this.#handler.onResponseStart(controller, status);
  }

  onResponseData(controller: UpstreamController, chunk: Uint8Array): void {
    this.#handler.onResponseData(controller, chunk);
  }

  onResponseEnd(controller: UpstreamController): void {
    this.#handler.onResponseEnd(controller);
  }

  onResponseError(controller: UpstreamController | undefined, thrown: Error): void {
    this.#end();
    this.#handler.onResponseError(controller, thrown);
  }

  #end(): void {
    this.#over?.();
    this.#over = undefined;
  }
}
