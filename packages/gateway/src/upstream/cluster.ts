import { isIP } from 'node:net';
import { messageOf } from '@countersign/base';
import type { ClusterModel, EndpointModel } from '../model/cluster-model.ts';
import { Admission } from './admission.ts';
import { type Balancer, balancerOf, type Choice } from './balancer.ts';
import { checkHealth } from './health-checks.ts';
import { type Attempted, OutlierDetection } from './outlier-detection.ts';
import type { Resolve } from './resolve-addresses.ts';
import { Upstream, type UpstreamSurroundings } from './upstream.ts';
import type { UpstreamMetrics } from './upstream-metrics.ts';

export interface ClusterSurroundings extends UpstreamSurroundings {
  readonly resolve: Resolve;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly metrics: UpstreamMetrics;
}

/**
 * Picks the endpoint that takes a request among those that are fit, and holds what is counted of them together. It does
 * not retry: that is `forward`'s, who also reports what became of each attempt.
 */
export class Cluster {
  readonly model: ClusterModel;
  /** What may be under way. */
  readonly admission: Admission;
  readonly #around: ClusterSurroundings;
  readonly #stopping = new AbortController();
  readonly #round = { turn: 0 };
  #upstreams: readonly Upstream[] = [];
  #balancer: Balancer = () => undefined;
  readonly #outliers: OutlierDetection | undefined;
  readonly #checks = new Map<Upstream, AbortController>();
  #resolving: Promise<void> | undefined;
  /** Until the names are looked up again. */
  #refreshMs: number;

  /** @throws CountersignError ERR_SVID_NONE */
  constructor(model: ClusterModel, around: ClusterSurroundings) {
    this.model = model;
    this.#around = around;
    this.#refreshMs = model.dnsRefreshMs;
    this.admission = new Admission(model, around.metrics);
    this.#outliers = this.#watchOutliers();
    if (model.discovery === 'name') this.#take(model.endpoints.map((each) => this.#open(each)));
    else {
      this.#resolving = this.#resolve();
      void this.#resolving.then(() => this.#followNames());
    }
  }

  /** Until the endpoints are known; undefined where they are. */
  get pending(): Promise<void> | undefined {
    return this.#upstreams.length > 0 ? undefined : this.#resolving;
  }

  /** The endpoint that takes a request; undefined where there is none. */
  pick(choice: Choice = {}): Upstream | undefined {
    return this.#balancer(choice);
  }

  /** Tells what became of one attempt, so that an endpoint that answers badly can be taken out. */
  report(upstream: Upstream, attempted: Attempted, wasSent = true): void {
    this.#outliers?.report(upstream, attempted, wasSent);
  }

  /** The endpoints as they are now. */
  get endpoints(): readonly Upstream[] {
    return this.#upstreams;
  }

  /** Whether so few are fit that all of them take requests. */
  get isPanicking(): boolean {
    const all = this.#upstreams;
    const fit = all.filter((each) => each.isFit).length;
    return fit < all.length && (100 * fit) / all.length < (this.model.panicPercent ?? 50);
  }

  /** Lets requests in flight end, then closes every connection. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#upstreams.map((each) => each.close()));
  }

  /** Ends everything at once. */
  async destroy(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#upstreams.map((each) => each.destroy()));
  }

  #take(upstreams: readonly Upstream[]): void {
    this.#upstreams = upstreams;
    for (const [gone, checking] of this.#checks) {
      if (upstreams.includes(gone)) continue;
      checking.abort();
      this.#checks.delete(gone);
    }
    for (const upstream of upstreams) this.#check(upstream);
    this.#choose();
  }

  /** Makes the balancer anew, for those that are fit. */
  #choose(): void {
    const { model } = this;
    const { random, metrics } = this.#around;
    const fit = this.#upstreams.filter((each) => each.isFit);
    const taken = this.isPanicking ? this.#upstreams : fit;
    this.#balancer = balancerOf(taken, { model, random, round: this.#round });
    if (model.outliers !== undefined || model.healthCheck !== undefined) {
      metrics.unfit(model.name, this.#upstreams.length - fit.length);
    }
  }

  #watchOutliers(): OutlierDetection | undefined {
    const { outliers, name: cluster } = this.model;
    if (outliers === undefined) return undefined;
    const { metrics, clock, log } = this.#around;
    const detection = new OutlierDetection(outliers, {
      ...{ cluster, metrics, clock, log },
      members: () => this.#upstreams,
      onChange: () => this.#choose(),
    });
    void detection.run(this.#stopping.signal);
    return detection;
  }

  #check(upstream: Upstream): void {
    const { healthCheck, name: cluster } = this.model;
    if (healthCheck === undefined || this.#checks.has(upstream)) return;
    const stopping = new AbortController();
    this.#checks.set(upstream, stopping);
    const signal = AbortSignal.any([stopping.signal, this.#stopping.signal]);
    const { metrics, random, clock, log } = this.#around;
    const onChange = (): void => {
      if (!upstream.failsChecks) this.#outliers?.forgive(upstream);
      this.#choose();
    };
    const around = { cluster, metrics, random, clock, log, onChange };
    void checkHealth(upstream, healthCheck, around, signal);
  }

  #open(endpoint: EndpointModel): Upstream {
    return new Upstream(this.model, endpoint, this.#around, this.admission);
  }

  /** What cannot be looked up keeps the addresses that were found before. */
  async #resolve(): Promise<void> {
    const { endpoints, dnsFamily, dnsRefreshMs, dnsFollowsTtl = false } = this.model;
    this.#refreshMs = dnsRefreshMs;
    const ttls: number[] = [];
    const { resolve, log } = this.#around;
    const found = await Promise.all(
      endpoints.map(async (endpoint) => {
        try {
          const { addresses: all, ttlMs } = await resolve(endpoint.host, dnsFollowsTtl);
          if (ttlMs !== undefined) ttls.push(ttlMs);
          const addresses = all.filter((each) => (dnsFamily ?? isIP(each)) === isIP(each));
          return addresses.map((host) => ({ ...endpoint, host, name: endpoint.host }));
        } catch (thrown) {
          log.warn(
            { cluster: this.model.name, host: endpoint.host, reason: messageOf(thrown) },
            'name of an upstream is not found, the addresses before are kept',
          );
          return undefined;
        }
      }),
    );
    // A second at least, so that a name without a time to live is not looked up without a pause.
    if (ttls.length > 0) this.#refreshMs = Math.max(1000, Math.min(...ttls));
    if (found.includes(undefined) || this.#stopping.signal.aborted) return;
    this.#use(found.flatMap((each) => each ?? []));
  }

  #use(endpoints: readonly EndpointModel[]): void {
    const known = new Map(this.#upstreams.map((each) => [JSON.stringify(each.endpoint), each]));
    const next = endpoints.map((each) => {
      const key = JSON.stringify(each);
      const kept = known.get(key);
      known.delete(key);
      return kept ?? this.#open(each);
    });
    this.#take(next);
    for (const gone of known.values()) {
      gone.close().catch((thrown) => this.#around.log.debug({ err: thrown }, 'upstream broke'));
    }
  }

  async #followNames(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#around.clock.sleep(this.#refreshMs, { signal, ref: false }).catch(() => {});
      if (!signal.aborted) await this.#resolve();
    }
  }
}
