import { getCompileCacheDir } from 'node:module';
import { dirname, extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { WorkerStart } from './sqlite-protocol.ts';

/** What it makes is gone with its batch. */
const resourceLimits = { maxYoungGenerationSizeMb: 6 };

let ahead: Worker | undefined;

/**
 * Begins the thread of the ledger that will be opened next: it loads its code while whoever opens it still loads its
 * own. Holds nobody from ending. Where it is not wanted after all, `endThreadAhead` ends it.
 */
export function beginThreadAhead(): void {
  if (ahead !== undefined) return;
  const worker = begin(workerCode(), undefined);
  ahead = worker;
  worker.unref();
  // One that dies before it is wanted is nobody's failure: the ledger begins its own, and tells what is wrong with that.
  const forget = () => {
    if (ahead === worker) ahead = undefined;
  };
  worker.once('error', forget);
  worker.once('exit', forget);
}

export function endThreadAhead(): void {
  void ahead?.terminate();
  ahead = undefined;
}

/** @param code another worker's code, for tests of its death */
export function ledgerThread(start: WorkerStart, code?: URL): Worker {
  const worker = ahead;
  if (code !== undefined || worker === undefined) return begin(code ?? workerCode(), start);
  ahead = undefined;
  worker.ref();
  worker.postMessage(start);
  return worker;
}

/** With the compile cache of this thread, where it has one: a worker begins without, and a start would wait for it. */
function begin(code: URL, workerData: WorkerStart | undefined): Worker {
  const cache = getCompileCacheDir();
  if (cache === undefined) return new Worker(code, { workerData, resourceLimits });
  const program = `require('node:module').enableCompileCache(${JSON.stringify(dirname(cache))});
    import(${JSON.stringify(code.href)});`;
  return new Worker(program, { eval: true, workerData, resourceLimits });
}

/** Beside this file, under its own ending: `.ts` in the repository, `.js` once published. */
function workerCode(): URL {
  return new URL(`./sqlite-worker${extname(import.meta.url)}`, import.meta.url);
}
