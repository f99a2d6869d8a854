import { isIP } from 'node:net';
import { messageOf } from '@countersign/base';
import type { ClusterModel, EndpointModel } from '../model/cluster-model.ts';
import { Upstream, type UpstreamSurroundings } from './upstream.ts';

export interface ClusterSurroundings extends UpstreamSurroundings {
  /** Every address of a name. */
  readonly resolve: (host: string) => Promise<readonly string[]>;
  /** From 0 to 1. */
  readonly random: () => number;
}

/**
 * Picks the endpoint that takes a request, and holds what is counted of them together. It neither retries nor judges
 * answers: that is `forward`'s.
 */
export class Cluster {
  readonly model: ClusterModel;
  readonly #around: ClusterSurroundings;
  readonly #stopping = new AbortController();
  #upstreams: readonly Upstream[] = [];
  #turn = 0;
  #requests = 0;
  #retries = 0;
  #resolving: Promise<void> | undefined;

  /** @throws CountersignError ERR_SVID_NONE */
  constructor(model: ClusterModel, around: ClusterSurroundings) {
    this.model = model;
    this.#around = around;
    if (model.discovery === 'name')
      this.#upstreams = model.endpoints.map((each) => this.#open(each));
    else {
      this.#resolving = this.#resolve();
      void this.#resolving.then(() => this.#followNames());
    }
  }

  /** Until the endpoints are known; undefined where they are. */
  get pending(): Promise<void> | undefined {
    return this.#upstreams.length > 0 ? undefined : this.#resolving;
  }

  /** The endpoint whose turn it is; undefined where there is none. @param tried passed over where there are others */
  pick(tried?: ReadonlySet<Upstream>): Upstream | undefined {
    const all = this.#upstreams;
    if (all.length < 2) return all[0];
    const fresh = tried === undefined ? all : all.filter((each) => !tried.has(each));
    return this.#pickOf(fresh.length === 0 ? all : fresh);
  }

  /** Whether one more request may be under way; who is told so calls {@link ended} when it is over. */
  begin(): boolean {
    if (this.#requests >= this.model.limits.maxRequests) return false;
    this.#requests += 1;
    return true;
  }

  ended(): void {
    this.#requests -= 1;
  }

  /** Whether a retry is within the budget; who is told so calls {@link retryEnded} when it is over. */
  beginRetry(): boolean {
    const { maxRetries, retryBudget } = this.model.limits;
    const most =
      retryBudget === undefined
        ? maxRetries
        : Math.max(retryBudget.minConcurrency, (retryBudget.percent / 100) * this.#requests);
    if (this.#retries + 1 > most) return false;
    this.#retries += 1;
    return true;
  }

  retryEnded(): void {
    this.#retries -= 1;
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

  #pickOf(upstreams: readonly Upstream[]): Upstream | undefined {
    const { balancing } = this.model;
    if (balancing === 'round-robin') return this.#next(upstreams);
    const at = () => upstreams[Math.floor(this.#around.random() * upstreams.length)];
    const one = at();
    if (balancing === 'random' || one === undefined) return one;
    // The lesser of two is nearly as good as the least of all, and herds nobody.
    const other = at();
    return other !== undefined && loadOf(other) < loadOf(one) ? other : one;
  }

  /** By weight: an endpoint of weight 2 has two turns of each round. */
  #next(upstreams: readonly Upstream[]): Upstream | undefined {
    const total = upstreams.reduce((sum, { endpoint }) => sum + endpoint.weight, 0);
    this.#turn = (this.#turn + 1) % total;
    let left = this.#turn;
    for (const upstream of upstreams) {
      left -= upstream.endpoint.weight;
      if (left < 0) return upstream;
    }
    return upstreams[0];
  }

  #open(endpoint: EndpointModel): Upstream {
    return new Upstream(this.model, endpoint, this.#around);
  }

  /** What cannot be looked up keeps the addresses that were found before. */
  async #resolve(): Promise<void> {
    const { endpoints, dnsFamily } = this.model;
    const { resolve, log } = this.#around;
    const found = await Promise.all(
      endpoints.map(async (endpoint) => {
        try {
          const all = await resolve(endpoint.host);
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
    this.#upstreams = next;
    for (const gone of known.values()) {
      gone.close().catch((thrown) => this.#around.log.debug({ err: thrown }, 'upstream broke'));
    }
  }

  async #followNames(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const ms = this.model.dnsRefreshMs;
      await this.#around.clock.sleep(ms, { signal, ref: false }).catch(() => {});
      if (!signal.aborted) await this.#resolve();
    }
  }
}

function loadOf({ inFlight, endpoint }: Upstream): number {
  return (inFlight + 1) / endpoint.weight;
}
