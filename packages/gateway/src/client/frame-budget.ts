import type { Clock } from '@countersign/base';

export interface FrameBudgetOptions {
  /** At once. */
  readonly burst: number;
  /** What comes back with time. */
  readonly perSecond: number;
  readonly clock: Clock;
}

/** How often something may happen on one connection: a bucket of tokens. */
export class FrameBudget {
  readonly #options: FrameBudgetOptions;
  #left: number;
  #at: number;

  constructor(options: FrameBudgetOptions) {
    this.#options = options;
    this.#left = options.burst;
    this.#at = options.clock.monotonic();
  }

  /** @returns whether there was something left */
  spend(): boolean {
    const { burst, perSecond, clock } = this.#options;
    const now = clock.monotonic();
    this.#left = Math.min(burst, this.#left + ((now - this.#at) / 1000) * perSecond);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
