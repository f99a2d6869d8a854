import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { CountersignError, type Log, messageOf } from '@countersign/base';
import type { PlanNode } from '@graphql-hive/router-query-planner';
import type { ChildMessage, ParentMessage, PlannerFacts, PlanRequest } from './planner-messages.ts';

export interface PlannerLimits {
  /** What the process runs; another one in tests alone. */
  readonly child: URL;
  /** One plan may take so long; then the planner is taken to hang. */
  readonly patienceMs: number;
  /** From its start until it knows its supergraph. */
  readonly startMs: number;
  /** Plans that wait for their turn; further ones are refused. */
  readonly maxWaiting: number;
}

/** Beside this file, whose name ends in `.js` where packages are published. */
const child = new URL(`./planner-child${extname(import.meta.url)}`, import.meta.url);
const usual: PlannerLimits = { child, patienceMs: 10_000, startMs: 60_000, maxWaiting: 1000 };

/** Told to the process at once, so that what takes long is a plan and not its queue. */
const maxAtOnce = 8;
/** Before a process is started again; doubles with each that breaks off, until a minute goes without. */
const [minPauseMs, maxPauseMs, forgetMs] = [25, 2000, 60_000];

interface Wanted {
  readonly request: PlanRequest;
  readonly resolve: (node: PlanNode | null) => void;
  readonly reject: (thrown: unknown) => void;
  /** It was being planned when a process broke off: next time it is alone, so that there is one culprit. */
  isSuspect: boolean;
  late?: NodeJS.Timeout;
}

/**
 * The native planner in a process of its own. A fault of native code ends the process that it runs in, and valid
 * documents were seen to cause one (a field of an interface object beside one with `@requires`): so it costs the one
 * operation, which is refused, and a new process. Whatever else was being planned is planned again, one by one. Who
 * makes many break off gains no more than a process every two seconds.
 *
 * What is refused for the process's sake and not for its own has the field `isPassing`: it may be asked for again.
 */
export class PlannerProcess {
  readonly #sdl: string;
  readonly #log: Log;
  readonly #limits: PlannerLimits;
  readonly #waiting: Wanted[] = [];
  readonly #running = new Map<number, Wanted>();
  #child: ChildProcess | undefined;
  #facts: Promise<PlannerFacts> | undefined;
  #isRetired = false;
  #ids = 0;
  #breaks = 0;
  #forget: NodeJS.Timeout | undefined;

  constructor(sdl: string, log: Log, limits: Partial<PlannerLimits> = {}) {
    this.#sdl = sdl;
    this.#log = log;
    this.#limits = { ...usual, ...limits };
  }

  /** @throws CountersignError ERR_ROUTER_PLANNER */
  start(): Promise<PlannerFacts> {
    if (this.#facts !== undefined) return this.#facts;
    const facts = this.#breaks === 0 ? this.#spawn() : this.#spawnLater();
    this.#facts = facts;
    // One that never began is tried again with the next plan.
    facts.catch(() => {
      if (this.#facts === facts) this.#facts = undefined;
    });
    return facts;
  }

  /** @throws CountersignError ERR_ROUTER_PLANNER */
  plan(request: PlanRequest): Promise<PlanNode | null> {
    return new Promise((resolve, reject) => {
      const { maxWaiting } = this.#limits;
      if (this.#waiting.length >= maxWaiting) {
        return reject(passing(`${maxWaiting} plans are waited for, no more are taken`));
      }
      this.#waiting.push({ request, resolve, reject, isSuspect: false });
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
    for (let [next] = this.#waiting; next !== undefined; [next] = this.#waiting) {
      const running = [...this.#running.values()];
      const isFull = running.length >= maxAtOnce || running.some(({ isSuspect }) => isSuspect);
      if (isFull || (next.isSuspect && running.length > 0)) return;
      this.#waiting.shift();
      this.#send(next);
    }
  }

  #send(wanted: Wanted): void {
    this.#holdOpen(true);
    this.#ids += 1;
    const id = this.#ids;
    this.#running.set(id, wanted);
    wanted.late = setTimeout(() => this.#child?.kill('SIGKILL'), this.#limits.patienceMs).unref();
    this.#tell({ id, ...wanted.request });
  }

  /** Only here does a process wait for its turn: the first one is there as soon as it can be. */
  async #spawnLater(): Promise<PlannerFacts> {
    const ms = Math.min(minPauseMs * 2 ** this.#breaks, maxPauseMs);
    await new Promise((resolve) => setTimeout(resolve, ms));
    return await this.#spawn();
  }

  async #spawn(): Promise<PlannerFacts> {
    const child = forked(this.#limits.child);
    this.#child = child;
    const late = setTimeout(() => child.kill('SIGKILL'), this.#limits.startMs).unref();
    return await new Promise((resolve, reject) => {
      let isReady = false;
      const fail = (thrown: CountersignError) => {
        clearTimeout(late);
        reject(thrown);
      };
      child.on('message', (message: ChildMessage) => {
        if ('publicSdl' in message) {
          clearTimeout(late);
          isReady = true;
          resolve(message);
          this.#next();
        } else if ('broken' in message) {
          fail(new CountersignError('ERR_ROUTER_PLANNER', `open the planner: ${message.broken}`));
          this.#end();
        } else this.#take(message);
      });
      child.once('error', (thrown) => fail(passing(`open the planner: ${thrown.message}`)));
      child.once('exit', (code, signal) => {
        const how = signal ?? `exit code ${code}`;
        fail(passing(`open the planner: ${how}`));
        if (this.#child === child) this.#broken(how, isReady);
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

  /** What was being planned alone is to blame; of several, each is tried alone. */
  #broken(how: string, isReady: boolean): void {
    this.#child = undefined;
    this.#facts = undefined;
    const casualties = [...this.#running.values()];
    this.#running.clear();
    this.#breaks += 1;
    clearTimeout(this.#forget);
    this.#forget = setTimeout(() => {
      this.#breaks = 0;
    }, forgetMs).unref();
    const told = { how, plans: casualties.length, breaks: this.#breaks };
    this.#log.error(told, 'the planner broke off');
    for (const each of casualties) {
      clearTimeout(each.late);
      each.isSuspect = true;
    }
    const [first] = casualties;
    if (casualties.length === 1) first?.reject(failedOver(how));
    else this.#waiting.unshift(...casualties);
    // Who waits for one that never began is told so.
    if (isReady) this.#next();
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

/** Neither the router's environment, which may hold secrets, nor its flags are anything to it. */
function forked(child: URL): ChildProcess {
  try {
    return fork(child, {
      ...{ env: {}, execArgv: [] },
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
  } catch (thrown) {
    throw passing(`open the planner: ${messageOf(thrown)}`);
  }
}

/** Whether it was refused for the planner's sake, so that it may be asked for again. */
export function isPassing(thrown: unknown): boolean {
  return thrown instanceof CountersignError && thrown.fields.isPassing === true;
}

function passing(message: string): CountersignError {
  return new CountersignError('ERR_ROUTER_PLANNER', message, { fields: { isPassing: true } });
}

function failedOver(how: string): CountersignError {
  return new CountersignError('ERR_ROUTER_PLANNER', `the planner broke off over it: ${how}`);
}
