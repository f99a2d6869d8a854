import type { Clock } from '@countersign/base';

/** A clock that stands still until a test moves it. */
export interface TestClock extends Clock {
  /**
   * Moves on by `ms`, stopping at each sleep that falls due on the way so that its continuation runs at its own time.
   * Sleeps that those begin are served too.
   */
  advance(ms: number): Promise<void>;
  /** Steps the wall clock alone, forth or back, as an operator or NTP does. */
  step(ms: number): void;
  /** Sleeps that wait. */
  readonly sleeping: number;
}

interface Sleep {
  readonly due: number;
  readonly wake: () => void;
}

/** @param startMs wall clock at the start; 2026-01-01T00:00:00Z unless given */
export function testClock(startMs: number = Date.UTC(2026, 0, 1)): TestClock {
  let elapsed = 0;
  let wall = startMs;
  const sleeps = new Set<Sleep>();

  return {
    now: () => wall + elapsed,
    monotonic: () => elapsed,
    get sleeping() {
      return sleeps.size;
    },
    step(ms) {
      wall += ms;
    },
    async sleep(ms, { signal } = {}) {
      signal?.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        const sleep: Sleep = { due: elapsed + Math.max(0, ms), wake };
        function wake(): void {
          sleeps.delete(sleep);
          signal?.removeEventListener('abort', abort);
          resolve();
        }
        function abort(): void {
          sleeps.delete(sleep);
          reject(signal?.reason);
        }
        signal?.addEventListener('abort', abort, { once: true });
        sleeps.add(sleep);
      });
    },
    async advance(ms) {
      const target = elapsed + ms;
      await settle();
      for (let next = earliest(sleeps, target); next; next = earliest(sleeps, target)) {
        elapsed = Math.max(elapsed, next.due);
        next.wake();
        await settle();
      }
      elapsed = target;
      await settle();
    },
  };
}

function earliest(sleeps: ReadonlySet<Sleep>, target: number): Sleep | undefined {
  let first: Sleep | undefined;
  for (const sleep of sleeps) {
    if (sleep.due <= target && sleep.due < (first?.due ?? Number.POSITIVE_INFINITY)) first = sleep;
  }
  return first;
}

/** Lets promises and the poll phase run. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
