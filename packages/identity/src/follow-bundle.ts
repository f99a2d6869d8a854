import type { Clock, Log } from '@countersign/base';
import { bundleDigest, type TrustBundle } from '@countersign/spiffe';
import type { Identity } from './identity.ts';

/** Asks the authority for the trust bundle of now, telling it which one is held. */
export type FetchBundle = (asked: {
  /** Who asks. */
  readonly current: Identity;
  /** `bundleDigest` of the bundle that is held. */
  readonly holds: string;
  readonly signal: AbortSignal;
}) => Promise<TrustBundle>;

export interface FollowBundleOptions {
  readonly fetch: FetchBundle;
  readonly current: () => Identity;
  /** Takes a newer bundle over; answers whether it did. */
  readonly adopt: (bundle: TrustBundle) => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

/** Where the bundle gives no hint. */
const usualHintSeconds = 300;
const mostHintSeconds = 86_400;
/** After a failure, which renewals are not concerned by. */
const retryMs = { least: 1000, most: 60_000 } as const;

/**
 * Keeps a trust bundle up to date for as long as the signal is not aborted: looks as often as the bundle hints, and at
 * once after something changed, so that the authority hears what is held by now. Never rejects.
 */
export class BundleFollower {
  readonly #options: FollowBundleOptions;
  #wake = new AbortController();
  #isDue = false;

  constructor(options: FollowBundleOptions) {
    this.#options = options;
  }

  /** Something changed: the authority is to hear what is held by now. */
  lookSoon(): void {
    this.#isDue = true;
    this.#wake.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, random } = this.#options;
    let failures = 0;
    // Those that are started together do not look together.
    let waitMs = this.#hintMs() * random();
    while (!signal.aborted) {
      const awake = AbortSignal.any([signal, this.#wake.signal]);
      if (!this.#isDue) await clock.sleep(waitMs, { signal: awake, ref: false }).catch(() => {});
      if (signal.aborted) return;
      this.#isDue = false;
      this.#wake = new AbortController();
      try {
        const isNews = await this.#look(signal);
        failures = 0;
        waitMs = isNews ? 0 : this.#hintMs() * (1 - random() / 5);
      } catch (thrown) {
        if (signal.aborted) return;
        failures += 1;
        waitMs = Math.min(retryMs.most, retryMs.least * 2 ** Math.min(failures, 10)) * random();
        waitMs = Math.max(retryMs.least, Math.min(waitMs, this.#hintMs()));
        log[failures === 1 ? 'warn' : 'debug']({ err: thrown, waitMs }, 'trust bundle not fetched');
      }
    }
  }

  async #look(signal: AbortSignal): Promise<boolean> {
    const { fetch, current, adopt, log } = this.#options;
    const identity = current();
    const holds = bundleDigest(identity.bundle);
    const found = await fetch({ current: identity, holds, signal });
    // A renewal came first: its bundle is not older than this one.
    if (current() !== identity) return true;
    if ((found.sequence ?? 0) < (identity.bundle.sequence ?? 0)) {
      const sides = { found: found.sequence, held: identity.bundle.sequence };
      log.warn(sides, 'an older trust bundle than the one held was answered: the one held is kept');
      return false;
    }
    const isSame =
      bundleDigest(found) === holds &&
      found.sequence === identity.bundle.sequence &&
      found.refreshHintSeconds === identity.bundle.refreshHintSeconds;
    return isSame ? false : await adopt(found);
  }

  #hintMs(): number {
    const hint = this.#options.current().bundle.refreshHintSeconds ?? usualHintSeconds;
    return Math.min(mostHintSeconds, Math.max(1, hint)) * 1000;
  }
}
