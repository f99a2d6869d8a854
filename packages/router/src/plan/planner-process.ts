import { type ChildProcess, fork } from 'node:child_process';
import { CountersignError, type Log } from '@countersign/base';
import type { PlanNode } from '@graphql-hive/router-query-planner';
import type { ChildMessage, ParentMessage, PlannerFacts, PlanRequest } from './planner-messages.ts';

/** One plan may take so long; then the planner is taken to hang. */
const patienceMs = 10_000;

interface Wanted {
  readonly request: PlanRequest;
  readonly resolve: (node: PlanNode | null) => void;
  readonly reject: (thrown: unknown) => void;
  late?: NodeJS.Timeout;
}

/**
 * The native planner in a process of its own. A fault of native code ends the process that it runs in, and valid
 * documents were seen to cause one (a field of an interface object beside one with `@requires`): so it costs the one
 * operation, which is refused, and a new process. Whatever else was being planned is planned again, one by one, so that
 * the next fault has one culprit.
 */
export class PlannerProcess {
  readonly #sdl: string;
  readonly #log: Log;
  readonly #waiting: Wanted[] = [];
  readonly #running = new Map<number, Wanted>();
  #child: ChildProcess | undefined;
  #facts: Promise<PlannerFacts> | undefined;
  #isCareful = false;
  #isRetired = false;
  #ids = 0;

  constructor(sdl: string, log: Log) {
    this.#sdl = sdl;
    this.#log = log;
  }

  /** @throws CountersignError ERR_ROUTER_PLANNER */
  start(): Promise<PlannerFacts> {
    this.#facts ??= this.#spawn();
    return this.#facts;
  }

  /** @throws CountersignError ERR_ROUTER_PLANNER */
  plan(request: PlanRequest): Promise<PlanNode | null> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject });
      this.#next();
    });
  }

  /** Ends the process once nothing is being planned; who still wants a plan gets it. */
  retire(): void {
    this.#isRetired = true;
    this.#next();
  }

  #next(): void {
    if (this.#waiting.length === 0) {
      if (this.#running.size > 0) return;
      this.#isCareful = false;
      if (this.#isRetired) this.#end();
      else this.#holdOpen(false);
      return;
    }
    this.start().then(
      () => this.#sendWaiting(),
      (thrown) => {
        for (const { reject } of this.#waiting.splice(0)) reject(thrown);
      },
    );
  }

  #sendWaiting(): void {
    while (this.#waiting.length > 0 && !(this.#isCareful && this.#running.size > 0)) {
      const wanted = this.#waiting.shift() as Wanted;
      this.#holdOpen(true);
      this.#ids += 1;
      const id = this.#ids;
      this.#running.set(id, wanted);
      wanted.late = setTimeout(() => this.#blame(id), patienceMs).unref();
      this.#tell({ id, ...wanted.request });
    }
  }

  #spawn(): Promise<PlannerFacts> {
    const child = fork(new URL('./planner-child.ts', import.meta.url), {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.#child = child;
    return new Promise((resolve, reject) => {
      const fail = (reason: string) => {
        const message = `open the planner: ${reason}`;
        reject(new CountersignError('ERR_ROUTER_PLANNER', message));
      };
      child.on('message', (message: ChildMessage) => {
        if ('publicSdl' in message) {
          resolve(message);
          this.#next();
        } else if ('broken' in message) {
          fail(message.broken);
          this.#end();
        } else this.#take(message);
      });
      child.once('error', (thrown) => fail(thrown.message));
      child.once('exit', (code, signal) => {
        const how = signal ?? `exit code ${code}`;
        fail(how);
        if (this.#child === child) this.#broken(how);
      });
      this.#tell({ sdl: this.#sdl });
    });
  }

  #take(message: Extract<ChildMessage, { readonly id: number }>): void {
    const wanted = this.#running.get(message.id);
    if (wanted === undefined) return;
    this.#running.delete(message.id);
    clearTimeout(wanted.late);
    if ('node' in message) wanted.resolve(message.node);
    else wanted.reject(new CountersignError('ERR_ROUTER_PLANNER', message.error));
    this.#next();
  }

  /** A plan that takes too long ends the planner; the others are begun anew. */
  #blame(id: number): void {
    const wanted = this.#running.get(id);
    if (wanted === undefined) return;
    this.#running.delete(id);
    wanted.reject(failedOver(`no plan after ${patienceMs} ms`));
    this.#child?.kill('SIGKILL');
  }

  #broken(how: string): void {
    this.#child = undefined;
    this.#facts = undefined;
    const casualties = [...this.#running.values()];
    this.#running.clear();
    for (const { late } of casualties) clearTimeout(late);
    this.#log.error({ how, plans: casualties.length }, 'the planner broke off, another is started');
    const [first] = casualties;
    if (casualties.length === 1) first?.reject(failedOver(how));
    else this.#waiting.unshift(...casualties);
    this.#isCareful = this.#isCareful || casualties.length > 1;
    this.#next();
  }

  #end(): void {
    const child = this.#child;
    this.#child = undefined;
    this.#facts = undefined;
    if (child?.connected === true) child.disconnect();
  }

  /** An idle planner keeps nobody from ending. */
  #holdOpen(isHeld: boolean): void {
    const channel = this.#child?.channel;
    if (isHeld) {
      this.#child?.ref();
      channel?.ref();
    } else {
      this.#child?.unref();
      channel?.unref();
    }
  }

  #tell(message: ParentMessage): void {
    // A channel that has closed meanwhile is told by the exit.
    this.#child?.send(message, () => {});
  }
}

function failedOver(how: string): CountersignError {
  return new CountersignError('ERR_ROUTER_PLANNER', `the planner broke off over it: ${how}`);
}
