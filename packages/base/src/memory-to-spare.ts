import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock } from './clock.ts';

interface CollectOptions {
  readonly type: 'major';
  readonly execution: 'sync';
  /** All that can be had, and the empty pages go back to the system. */
  readonly flavor: 'last-resort';
}

/** It has to have grown by half since the last time, and by as much as this. */
const leastGrowth = 4 * 1024 * 1024;
const leastApartMs = 600_000;

/**
 * Gives the system back what the heap of this thread no longer needs: V8 by itself keeps most of what a busy hour took for
 * as long as the process lives. It takes some tens of milliseconds at once, and V8 lets optimised code go with it, which
 * costs a tenth of a second of CPU to make again. So it is for whoever has nothing to do, and once in ten minutes at most;
 * where there is not much to give, `give` does nothing.
 */
export class MemoryToSpare {
  readonly #clock: Pick<Clock, 'monotonic'>;
  #left = getHeapStatistics().total_heap_size;
  #gaveAt = Number.NEGATIVE_INFINITY;
  #collect: ((options: CollectOptions) => void) | undefined;

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** @returns whether it did */
  give(): boolean {
    const now = this.#clock.monotonic();
    if (now - this.#gaveAt < leastApartMs) return false;
    const grown = getHeapStatistics().total_heap_size - this.#left;
    if (grown < Math.max(leastGrowth, this.#left / 2)) return false;
    this.#gaveAt = now;
    this.#collect ??= collector();
    this.#collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    this.#left = getHeapStatistics().total_heap_size;
    return true;
  }
}

/** V8 has it under a flag alone, which is as it was a moment later: code that V8 keeps is good under the flags of its time. */
function collector(): (options: CollectOptions) => void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  return collect;
}
