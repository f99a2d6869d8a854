import type { Clock } from '@countersign/base';
import type { JwtSvidAnswer, JwtSvidOrder } from '@countersign/wire';
import type { Entry } from '../entries/entry.ts';

/** Orders a token, by the authority over mTLS with the agent's own certificate. */
export type OrderJwt = (
  order: JwtSvidOrder,
  options: { readonly signal: AbortSignal },
) => Promise<JwtSvidAnswer>;

const mostKept = 4096;
/** A token that ends sooner is of no use to who gets it. */
const leastLeftMs = 5000;

/**
 * Tokens that were ordered, by entry and audience. One is handed out for half of its lifetime, then a new one is ordered;
 * where none is to be had, the old one for as long as it lives. In memory alone.
 */
export class JwtCache {
  readonly #order: OrderJwt;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #kept = new Map<string, JwtSvidAnswer>();
  readonly #underWay = new Map<string, Promise<JwtSvidAnswer>>();

  constructor(order: OrderJwt, clock: Clock, signal: AbortSignal) {
    this.#order = order;
    this.#clock = clock;
    this.#signal = signal;
  }

  /** @throws CountersignError of the authority, or why it cannot be asked, where no token is left */
  async tokenOf(entry: Entry, audience: readonly string[]): Promise<JwtSvidAnswer> {
    const key = JSON.stringify([entry.id, entry.jwtTtlMs, [...audience].sort()]);
    const now = this.#clock.now();
    const kept = this.#kept.get(key);
    if (kept !== undefined && now < (kept.issuedAt + kept.expiresAt) / 2) return kept;
    try {
      return await this.#ordered(key, entry, audience);
    } catch (thrown) {
      if (kept !== undefined && now < kept.expiresAt - leastLeftMs) return kept;
      throw thrown;
    }
  }

  /** Many who ask for the same at once are one order. */
  #ordered(key: string, entry: Entry, audience: readonly string[]): Promise<JwtSvidAnswer> {
    const underWay = this.#underWay.get(key);
    if (underWay !== undefined) return underWay;
    const { spiffeId, jwtTtlMs } = entry;
    const order = {
      spiffeId,
      audience,
      ...(jwtTtlMs === undefined ? {} : { ttlMs: jwtTtlMs }),
    };
    const ordered = this.#order(order, { signal: this.#signal })
      .then((answer) => this.#keep(key, answer))
      .finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, ordered);
    return ordered;
  }

  #keep(key: string, answer: JwtSvidAnswer): JwtSvidAnswer {
    this.#kept.delete(key);
    this.#kept.set(key, answer);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > mostKept && oldest !== undefined) this.#kept.delete(oldest);
    return answer;
  }
}
