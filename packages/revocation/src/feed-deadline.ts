import { type Clock, CountersignError } from '@countersign/base';

/** Before the hello has told how often to expect something. */
const firstDeadlineMs = 15_000;
const leastDeadlineMs = 1000;

/**
 * Ends a connection on which nothing arrives any more: after three heartbeats' time. TCP alone would notice a vanished
 * peer after minutes or never.
 */
export class FeedDeadline {
  readonly signal: AbortSignal;
  readonly #clock: Clock;
  readonly #over = new AbortController();
  readonly #ended = new AbortController();
  #deadlineMs = firstDeadlineMs;
  #lastAt: number;

  constructor(clock: Clock, stopping: AbortSignal) {
    this.#clock = clock;
    this.#lastAt = clock.monotonic();
    this.signal = AbortSignal.any([stopping, this.#over.signal]);
    void this.#watch();
  }

  /** Something arrived. */
  heard(): void {
    this.#lastAt = this.#clock.monotonic();
  }

  expectEvery(heartbeatMs: number): void {
    this.#deadlineMs = Math.max(leastDeadlineMs, 3 * heartbeatMs);
  }

  end(): void {
    this.#ended.abort();
  }

  async #watch(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      const leftMs = this.#lastAt + this.#deadlineMs - this.#clock.monotonic();
      if (leftMs <= 0) {
        const reason = `nothing arrived for ${this.#deadlineMs} ms, three heartbeats' time`;
        this.#over.abort(new CountersignError('ERR_WIRE_FEED', reason));
        return;
      }
      const napMs = Math.min(leftMs, leastDeadlineMs);
      await this.#clock.sleep(napMs, { signal, ref: false }).catch(() => {});
    }
  }
}
