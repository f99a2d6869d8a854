import type { Clock } from '@countersign/base';

const everyMs = 50;
/** One pause is no overload: a collection of garbage, a key that is made. */
const samples = 3;

/** How late this process comes to its work: under too much of it, later and later, whatever the work is. */
export class LoopLateness {
  readonly #clock: Clock;
  readonly #stopping = new AbortController();
  readonly #last: number[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
    void this.#run();
  }

  /** What it has been late by at least, each of the last few times. */
  get ms(): number {
    return this.#last.length < samples ? 0 : Math.min(...this.#last);
  }

  stop(): void {
    this.#stopping.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const before = this.#clock.monotonic();
      await this.#clock.sleep(everyMs, { signal, ref: false }).catch(() => {});
      this.#last.push(Math.max(0, this.#clock.monotonic() - before - everyMs));
      if (this.#last.length > samples) this.#last.shift();
    }
  }
}
