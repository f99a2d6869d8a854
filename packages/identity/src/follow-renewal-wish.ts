import { type Clock, type Log, messageOf } from '@countersign/base';
import type { Identity } from './identity.ts';
import type { RenewalWish } from './issuers/issuer.ts';

export interface RenewalWishOptions {
  readonly ask: (current: Identity, signal: AbortSignal) => Promise<RenewalWish | undefined>;
  readonly current: () => Identity;
  /** Plans the next renewal, in milliseconds since the epoch. */
  readonly planAt: (at: number) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** RFC 9773 §4.3: bounds of how often it is asked. */
const askAgainMs = { least: 60_000, usual: 6 * 3_600_000, most: 24 * 3_600_000 } as const;

/**
 * Asks whoever signs when a certificate should be renewed, and plans by the answer: such as at once, where it is about to
 * be revoked. Where there is no answer the own schedule holds. Never rejects.
 */
export class RenewalWishFollower {
  readonly #options: RenewalWishOptions;
  #wake = new AbortController();

  constructor(options: RenewalWishOptions) {
    this.#options = options;
  }

  /** There is another certificate. */
  askSoon(): void {
    this.#wake.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { ask, current, planAt, clock, log } = this.#options;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      const asked = current();
      let waitMs: number = askAgainMs.usual;
      try {
        const wish = await ask(asked, signal);
        if (wish !== undefined) {
          waitMs = Math.min(askAgainMs.most, Math.max(askAgainMs.least, wish.askAgainMs));
          if (current() === asked) planAt(wish.at);
        }
      } catch (thrown) {
        if (signal.aborted) return;
        log.debug({ reason: messageOf(thrown) }, 'no word of when to renew');
      }
      const awake = AbortSignal.any([signal, this.#wake.signal]);
      await clock.sleep(waitMs, { signal: awake, ref: false }).catch(() => {});
    }
  }
}
