import { flushCompileCache } from 'node:module';
import { PerformanceObserver, performance } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { MemoryToSpare, systemClock } from '@countersign/base';
import { returnFreedMemory } from './return-freed-memory.ts';

/** Both halves. More of it saves no CPU that can be measured, and V8 would take four times as much. */
const youngBytes = 16 * 1024 * 1024;
/** As long as this, and of it no more of this thread's time than that: then it has nothing to do. */
const restMs = 1000;
const mostBusy = 0.05;
/** A young generation that was given up counts for less than what V8 goes on from. */
const mostFactor = 4;
/** V8's own. */
const defaults = { factor: 2, percent: 0 };

/**
 * Holds a process to little memory while it serves, with all its threads. V8 takes the size of its young generation at
 * its own start alone, but asks at each growth by what factor: so it grows to 16 MB and then little or no more, and the
 * old one by as much as lives before it is collected.
 *
 * What a busy time has taken goes back to the system once there is nothing to do.
 *
 * Code that V8 kept is good under the very flags that it was kept under. So this begins once the code is there, and
 * what is returned has to be called before the process ends, which is when what was loaded since is kept.
 */
export function holdMemory(): () => void {
  flushCompileCache();
  setFlagsFromString('--heap-growing-percent=100');
  let factor = setFactor(1);
  const rest = restKeeper();
  // V8 gives the young generation up where little is asked for: it may come back.
  const observer = new PerformanceObserver(() => {
    const wanted = Math.min(mostFactor, Math.max(1, Math.floor(youngBytes / youngNow())));
    if (wanted !== factor) factor = setFactor(wanted);
    rest.watch();
  });
  observer.observe({ entryTypes: ['gc'] });
  return () => {
    observer.disconnect();
    rest.end();
    setFactor(defaults.factor);
    setFlagsFromString(`--heap-growing-percent=${defaults.percent}`);
  };
}

/** Waits for a time of rest after each collection that it is told of. */
function restKeeper(): { watch(): void; end(): void } {
  const spare = new MemoryToSpare(systemClock);
  let timer: NodeJS.Timeout | undefined;
  let begin = performance.eventLoopUtilization();
  const wait = (then: () => void): void => {
    begin = performance.eventLoopUtilization();
    timer = setTimeout(then, restMs).unref();
  };
  function look(): void {
    if (performance.eventLoopUtilization(begin).utilization > mostBusy) wait(look);
    else {
      timer = undefined;
      if (spare.give()) void returnFreedMemory();
    }
  }
  return {
    watch() {
      if (timer === undefined) wait(look);
    },
    end: () => clearTimeout(timer),
  };
}

function setFactor(factor: number): number {
  setFlagsFromString(`--semi-space-growth-factor=${factor}`);
  return factor;
}

function youngNow(): number {
  const spaces = getHeapSpaceStatistics();
  return spaces.find(({ space_name: name }) => name === 'new_space')?.space_size || youngBytes;
}
