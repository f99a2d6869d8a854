import type { Log } from '@countersign/base';
import { isPassing } from '../plan/planner-process.ts';
import { openQueryPlanner, type QueryPlanner } from '../plan/query-planner.ts';
import { heldSupergraph } from './held-supergraph.ts';

/** The planner of what is deferred: opened with the first operation that needs it, since most routers have none. */
export class HeldPlanner {
  readonly #sdl: string;
  readonly #log: Log;
  #opened:
    | Promise<{ readonly planner: QueryPlanner; readonly entities: ReadonlySet<string> }>
    | undefined;

  /** @param sdl of the supergraph */
  constructor(sdl: string, log: Log) {
    this.#sdl = sdl;
    this.#log = log;
  }

  /** @throws CountersignError ERR_ROUTER_PLANNER */
  open(): Promise<{ readonly planner: QueryPlanner; readonly entities: ReadonlySet<string> }> {
    if (this.#opened !== undefined) return this.#opened;
    const opened = this.#open();
    this.#opened = opened;
    opened.catch((thrown) => {
      if (isPassing(thrown)) this.#opened = undefined;
    });
    return opened;
  }

  retire(): void {
    this.#opened?.then(
      ({ planner }) => planner.retire(),
      () => {},
    );
  }

  async #open() {
    const { sdl, entities } = heldSupergraph(this.#sdl);
    return { planner: await openQueryPlanner(sdl, this.#log), entities };
  }
}
