import type { RoleMapping } from '@countersign/authz';
import { type Clock, type Denial, denial, type Meter } from '@countersign/base';
import { isAnonymous, type PeerOf } from '@countersign/mtls';
import { formatName } from '@countersign/x509';
import type { GatewayModel } from '../model/gateway-model.ts';
import type { HeaderLine } from '../model/header-operations.ts';
import type { RateLimitModel } from '../model/rate-limit-model.ts';
import { headerValue } from '../model/request-match.ts';
import { type Taken, TokenBuckets } from './token-buckets.ts';

/** Who asks, as far as limits look at it. */
export interface Caller {
  readonly peer: PeerOf;
  readonly address: string;
  /** Names and values alternating. */
  readonly rawHeaders: readonly string[];
}

export interface RateLimitSurroundings {
  /** In force now. */
  readonly roles: () => RoleMapping | undefined;
  readonly clock: Clock;
  readonly meter: Meter;
}

export type RateVerdict =
  | { readonly ok: true /** For the response. */; readonly headers: readonly HeaderLine[] }
  | (Denial & { readonly headers: readonly HeaderLine[] });

const unlimited: RateVerdict = { ok: true, headers: [] };

/** The limits of a gateway, each with its buckets. A limit that a reload leaves as it was keeps what was counted. */
export class RateLimits {
  readonly #around: RateLimitSurroundings;
  readonly #limited: { add(by: number, labels: Readonly<Record<string, string>>): void };
  readonly #buckets = new Map<string, TokenBuckets>();
  /** By what is asked at each request: nothing is compared then. */
  #known = new WeakMap<RateLimitModel, TokenBuckets>();

  constructor(around: RateLimitSurroundings) {
    this.#around = around;
    this.#limited = around.meter.counter({
      name: 'countersign_rate_limited_total',
      help: 'Requests refused since their caller asks too often, by the limit.',
      labels: ['limit'],
    });
  }

  /** Forgets what the limits that are gone have counted. */
  retain({ listeners, tables }: Pick<GatewayModel, 'listeners' | 'tables'>): void {
    const chains = listeners.flatMap((each) => each.chains);
    const routes = tables.flatMap(({ hosts }) => hosts.flatMap((host) => host.routes));
    const all = [...chains, ...routes].flatMap(({ rateLimits = [] }) => rateLimits);
    const kept = new Set(all.map((each) => JSON.stringify(each)));
    for (const key of this.#buckets.keys()) if (!kept.has(key)) this.#buckets.delete(key);
    this.#known = new WeakMap();
  }

  /** Takes one of each limit, or none of any. Denials: ERR_GATEWAY_RATE_LIMITED */
  ask(limits: readonly RateLimitModel[], caller: Caller): RateVerdict {
    if (limits.length === 0) return unlimited;
    const concerned = limits.filter((limit) => this.#concerns(limit, caller));
    if (concerned.length === 0) return unlimited;
    const now = this.#around.clock.monotonic();
    const taken: { limit: RateLimitModel; key: string; told: Taken }[] = [];
    for (const limit of concerned) {
      const key = this.#keyOf(limit, caller);
      const told = this.#bucketsOf(limit).take(key, now);
      if (!told.ok) {
        for (const each of taken) this.#bucketsOf(each.limit).giveBack(each.key);
        return this.#refusal(limit, told);
      }
      taken.push({ limit, key, told });
    }
    const told = taken.filter(({ limit }) => limit.tells);
    const [least] = told.toSorted((a, b) => a.told.remaining - b.told.remaining);
    return least === undefined
      ? unlimited
      : { ok: true, headers: rateHeaders(least.limit, least.told) };
  }

  #refusal(limit: RateLimitModel, told: Taken): RateVerdict {
    this.#limited.add(1, { limit: limit.name });
    const seconds = Math.max(1, Math.ceil(told.waitMs / 1000));
    const detail = `more than ${limit.requests} requests in ${limit.perMs} ms, limit "${limit.name}"`;
    const retryAfter: HeaderLine = ['Retry-After', String(seconds)];
    return {
      ...denial('ERR_GATEWAY_RATE_LIMITED', detail, { limit: limit.name }),
      headers: [retryAfter, ...(limit.tells ? rateHeaders(limit, told) : [])],
    };
  }

  #concerns({ rateClass }: RateLimitModel, { peer }: Caller): boolean {
    return rateClass === undefined || rateClass === this.#classOf(peer);
  }

  #classOf(peer: PeerOf): string | undefined {
    return isAnonymous(peer) ? undefined : this.#around.roles()?.of(peer).rateClass;
  }

  #keyOf({ by }: RateLimitModel, { peer, address, rawHeaders }: Caller): string {
    if (by.kind === 'header') return headerValue(rawHeaders, by.name) ?? '';
    if (by.kind === 'address') return address;
    if (by.kind === 'all') return '';
    if (by.kind === 'rate-class') return this.#classOf(peer) ?? '';
    if (isAnonymous(peer)) return `address ${address}`;
    return peer.spiffeId?.toString() ?? `subject ${formatName(peer.leaf.subject)}`;
  }

  #bucketsOf(limit: RateLimitModel): TokenBuckets {
    const known = this.#known.get(limit);
    if (known !== undefined) return known;
    const key = JSON.stringify(limit);
    const buckets = this.#buckets.get(key) ?? new TokenBuckets(limit);
    this.#buckets.set(key, buckets);
    this.#known.set(limit, buckets);
    return buckets;
  }
}

/** draft-ietf-httpapi-ratelimit-headers-10 */
function rateHeaders(
  { name, requests, perMs }: RateLimitModel,
  { remaining, waitMs }: Taken,
): HeaderLine[] {
  const seconds = Math.max(1, Math.round(perMs / 1000));
  return [
    ['RateLimit-Policy', `"${name}";q=${requests};w=${seconds}`],
    ['RateLimit', `"${name}";r=${remaining};t=${Math.ceil(waitMs / 1000)}`],
  ];
}
