import { setTimeout as wait } from 'node:timers/promises';

/** Time comes in by parameter; only this file and the apps' wiring ask the machine. */
export interface Clock {
  /** Milliseconds since the Unix epoch, wall clock. */
  now(): number;
  /** Milliseconds from an arbitrary start, never going back; for durations. */
  monotonic(): number;
  /**
   * Resolves after `ms` (at least 0; longer than 2^31-1 is waited in parts). Rejects with the signal's reason on abort.
   * `ref: false` lets the process end while waiting.
   */
  sleep(
    ms: number,
    options?: { readonly signal?: AbortSignal; readonly ref?: boolean },
  ): Promise<void>;
}

const longestTimerMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms, options = {}) {
    let left = Math.max(0, ms);
    do {
      const part = Math.min(left, longestTimerMs);
      await wait(part, undefined, options);
      left -= part;
    } while (left > 0);
  },
};
