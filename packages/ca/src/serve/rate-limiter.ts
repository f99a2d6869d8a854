import type { Clock } from '@countersign/base';

/** Events of each key within an hour, as a bucket that refills evenly; the longest unseen key is forgotten first. */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #perHour: number;
  /** When each key has its whole bucket again, in order of the last event. */
  readonly #fullAgainAt = new Map<string, number>();
  readonly #maxKeys = 10_000;

  /** `perHour` 0: nothing is bounded. */
  constructor(clock: Clock, perHour: number) {
    this.#clock = clock;
    this.#perHour = perHour;
  }

  /** Counts an event; undefined, or after how many whole seconds there is room for it (RFC 8555 §6.6). */
  take(key: string): number | undefined {
    if (this.#perHour === 0) return undefined;
    const now = this.#clock.monotonic();
    const refillMs = 3_600_000 / this.#perHour;
    const owed = Math.max(0, (this.#fullAgainAt.get(key) ?? 0) - now) + refillMs;
    const overMs = owed - 3_600_000;
    if (overMs > 0) return Math.max(1, Math.ceil(overMs / 1000));
    this.#fullAgainAt.delete(key);
    this.#fullAgainAt.set(key, now + owed);
    const oldest = this.#fullAgainAt.keys().next().value;
    if (this.#fullAgainAt.size > this.#maxKeys && oldest !== undefined) {
      this.#fullAgainAt.delete(oldest);
    }
    return undefined;
  }
}
