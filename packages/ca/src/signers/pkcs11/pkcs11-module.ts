import { type Clock, CountersignError } from '@countersign/base';
import type { CallMemory } from './call-memory.ts';
import type { Arguments, Cryptoki, FunctionName } from './cryptoki.ts';
import { ckf, type ReturnGroup, returnGroupOf, returnNameOf } from './cryptoki-constants.ts';

/** A return value that is not CKR_OK, or none in time. Never leaves this folder: a token says what it was doing. */
export class Pkcs11Failure extends Error {
  readonly group: ReturnGroup | 'timeout';
  /** `CKR_DEVICE_REMOVED`; empty for a timeout. */
  readonly returned: string;

  constructor(message: string, group: ReturnGroup | 'timeout', returned = '') {
    super(message);
    this.group = group;
    this.returned = returned;
  }
}

export interface CallOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** How a module is loaded; tests bring modules of their own. */
  readonly load: (path: string) => Promise<Cryptoki>;
}

/** How a call is put together: its arguments, and what to read when it has returned well. */
export type BuildCall<T> = (memory: CallMemory) => {
  readonly args: Arguments;
  readonly read: () => T;
};

/** Key pairs of 4096 bits take a token seconds, some minutes; nothing else waits for them. */
const slowFactor = 30;
const slowFunctions: ReadonlySet<FunctionName> = new Set(['C_GenerateKeyPair']);

/**
 * A module that was initialised, once for the whole process whatever number of tokens is used through it.
 */
export class Pkcs11Module {
  readonly path: string;
  /** Grows with each restart: sessions and handles of an older one are void. */
  generation = 0;
  readonly #cryptoki: Cryptoki;
  readonly #options: CallOptions;
  /** Calls that have not returned. */
  readonly #pending = new Set<Promise<unknown>>();
  /** Functions that did not return in time, and have not since. */
  readonly #stuck = new Set<FunctionName>();
  /** The module cannot lock: one call at a time. */
  #isSerial = false;
  #turn: Promise<unknown> = Promise.resolve();
  #restarting: Promise<void> | undefined;
  #isOver = false;

  constructor(cryptoki: Cryptoki, options: CallOptions) {
    this.path = cryptoki.path;
    this.#cryptoki = cryptoki;
    this.#options = options;
  }

  /** @throws Pkcs11Failure */
  async call<T>(name: FunctionName, build: BuildCall<T>): Promise<T> {
    // No await between the look and the call: a restart must know of every call that is under way.
    while (this.#restarting !== undefined) await this.#restarting;
    if (this.#isOver) throw new Pkcs11Failure(`${name} after the module was finalised`, 'lost');
    return this.#callNow(name, build);
  }

  async initialise(): Promise<void> {
    const withLocking = (memory: CallMemory) => {
      // CK_C_INITIALIZE_ARGS: four mutex functions of ours, none; flags; reserved
      const { pointer } = memory.struct(0n, 0n, 0n, 0n, ckf.osLockingOk, 0n);
      return { args: [pointer], read: () => {} };
    };
    try {
      await this.#callNow('C_Initialize', withLocking);
    } catch (thrown) {
      if (!(thrown instanceof Pkcs11Failure) || thrown.returned !== 'CKR_CANT_LOCK') throw thrown;
      this.#isSerial = true;
      await this.#callNow('C_Initialize', () => ({ args: [0n], read: () => {} }));
    }
  }

  /** Waits for the calls under way: a module that is finalised in the middle of one takes the process with it. */
  async finalise(): Promise<void> {
    this.#isOver = true;
    await this.#finaliseNow();
  }

  async #finaliseNow(): Promise<void> {
    // One that never returns would be waited for in vain; the module is left as it is.
    if (this.#stuck.size > 0) return;
    await Promise.allSettled(this.#pending);
    await this.#callNow('C_Finalize', () => ({ args: [0n], read: () => {} }));
  }

  /**
   * Some modules see a token that returned only after they are initialised anew. Waits for the calls under way; does
   * nothing where somebody else restarted it since `generation`.
   */
  async restart(generation: number): Promise<void> {
    if (generation !== this.generation) return;
    this.#restarting ??= this.#restartNow().finally(() => {
      this.#restarting = undefined;
    });
    await this.#restarting;
  }

  async #restartNow(): Promise<void> {
    this.generation += 1;
    await this.#finaliseNow().catch((thrown: unknown) => {
      if (!(thrown instanceof Pkcs11Failure)) throw thrown;
    });
    await this.initialise();
  }

  async #callNow<T>(name: FunctionName, build: BuildCall<T>): Promise<T> {
    const [stuck] = this.#stuck;
    if (stuck !== undefined) {
      throw new Pkcs11Failure(`${stuck} has not returned yet`, 'timeout');
    }
    const memory = this.#cryptoki.memory();
    const { args, read } = build(memory);
    const outcome = this.#enqueue(() => this.#cryptoki.invoke(name, args)).then((value) => {
      const group = returnGroupOf(value);
      if (group === 'ok') return read();
      const returned = returnNameOf(value);
      throw new Pkcs11Failure(`${name} answers ${returned}`, group, returned);
    });
    // The module may use the memory until it has returned, whoever waits or not.
    const settled = outcome
      .catch(() => {})
      .finally(() => {
        memory.wipe();
        this.#pending.delete(settled);
        this.#stuck.delete(name);
      });
    this.#pending.add(settled);
    return this.#withinTime(name, outcome);
  }

  #enqueue(invoke: () => Promise<number>): Promise<number> {
    if (!this.#isSerial) return invoke();
    const next = this.#turn.then(invoke);
    this.#turn = next.catch(() => {});
    return next;
  }

  async #withinTime<T>(name: FunctionName, outcome: Promise<T>): Promise<T> {
    const { clock, timeoutMs } = this.#options;
    const ms = slowFunctions.has(name) ? timeoutMs * slowFactor : timeoutMs;
    const waiting = new AbortController();
    const tooLate = clock.sleep(ms, { signal: waiting.signal }).then(() => {
      this.#stuck.add(name);
      throw new Pkcs11Failure(`${name} has not returned within ${ms} ms`, 'timeout');
    });
    try {
      return await Promise.race([outcome, tooLate]);
    } finally {
      waiting.abort();
      tooLate.catch(() => {});
    }
  }
}

interface Loaded {
  readonly module: Promise<Pkcs11Module>;
  users: number;
}

/** C_Initialize is of the process: two tokens of one module share it. */
const loaded = new Map<string, Loaded>();

/**
 * @throws CountersignError ERR_SIGNER_MODULE
 */
export async function acquireModule(path: string, options: CallOptions): Promise<Pkcs11Module> {
  const known = loaded.get(path) ?? { module: openModule(path, options), users: 0 };
  loaded.set(path, known);
  known.users += 1;
  try {
    return await known.module;
  } catch (thrown) {
    loaded.delete(path);
    throw thrown;
  }
}

/** With its last user, the module is finalised: its sessions end and its user is logged out. */
export async function releaseModule(module: Pkcs11Module): Promise<void> {
  const known = loaded.get(module.path);
  if (known === undefined) return;
  known.users -= 1;
  if (known.users > 0) return;
  loaded.delete(module.path);
  await module.finalise().catch((thrown: unknown) => {
    // It is given up in any case; what a token answers to that helps nobody.
    if (!(thrown instanceof Pkcs11Failure)) throw thrown;
  });
}

/** Whether others in this process would feel a restart. */
export function hasOneUser(module: Pkcs11Module): boolean {
  return (loaded.get(module.path)?.users ?? 0) <= 1;
}

async function openModule(path: string, options: CallOptions): Promise<Pkcs11Module> {
  const module = new Pkcs11Module(await options.load(path), options);
  try {
    await module.initialise();
  } catch (thrown) {
    if (!(thrown instanceof Pkcs11Failure)) throw thrown;
    const message = `initialise PKCS #11 module "${path}": ${thrown.message}`;
    throw new CountersignError('ERR_SIGNER_MODULE', message, { fields: { path }, cause: thrown });
  }
  return module;
}
