import { isIPv6 } from 'node:net';
import type { Clock } from '@countersign/base';

export interface GuessLimits {
  /** Failures that an address may have at once. Default 20. */
  readonly burst?: number;
  /** After which one more is allowed. Default 3000. */
  readonly refillMs?: number;
  /** Addresses remembered; the longest unseen is forgotten first. Default 10,000. */
  readonly maxAddresses?: number;
}

/**
 * Bounds how fast wrong tokens can be tried: a bucket of failures for each address, IPv6 by its /64. A success costs
 * nothing, so a fleet behind one address enrols as fast as it likes.
 */
export class GuessLimiter {
  readonly #clock: Clock;
  readonly #burst: number;
  readonly #refillMs: number;
  readonly #maxAddresses: number;
  /** When each address has its whole burst again; in order of the last failure. */
  readonly #fullAgainAt = new Map<string, number>();

  constructor(clock: Clock, limits: GuessLimits = {}) {
    this.#clock = clock;
    this.#burst = limits.burst ?? 20;
    this.#refillMs = limits.refillMs ?? 3000;
    this.#maxAddresses = limits.maxAddresses ?? 10_000;
  }

  /** Milliseconds until this address may try again; 0 when it may now. */
  waitMs(address: string): number {
    const owed = this.#owedMs(blockOf(address));
    return Math.max(0, owed - (this.#burst - 1) * this.#refillMs);
  }

  failed(address: string): void {
    const block = blockOf(address);
    const owed = this.#owedMs(block) + this.#refillMs;
    this.#fullAgainAt.delete(block);
    this.#fullAgainAt.set(block, this.#clock.monotonic() + owed);
    const oldest = this.#fullAgainAt.keys().next().value;
    if (this.#fullAgainAt.size > this.#maxAddresses && oldest !== undefined) {
      this.#fullAgainAt.delete(oldest);
    }
  }

  #owedMs(block: string): number {
    return Math.max(0, (this.#fullAgainAt.get(block) ?? 0) - this.#clock.monotonic());
  }
}

/** One subscriber usually has a whole /64. */
function blockOf(address: string): string {
  if (!isIPv6(address) || address.startsWith('::ffff:')) return address;
  const [head = '', tail = ''] = address.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: Math.max(0, 8 - front.length - back.length) }, () => '0');
  return [...front, ...zeros, ...back].slice(0, 4).join(':');
}
