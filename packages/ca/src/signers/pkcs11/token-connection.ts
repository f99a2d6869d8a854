import type { Clock } from '@countersign/base';
import { ckf } from './cryptoki-constants.ts';
import type { TokenFound } from './find-token.ts';
import { Pkcs11Failure, type Pkcs11Module } from './pkcs11-module.ts';

export type Session = bigint;

/**
 * One logged-in stay in a token: its sessions, lent out one at a time each, and the handles of its keys. When any part
 * of it is lost the whole is dropped, and a new one made.
 */
export class TokenConnection {
  readonly token: TokenFound;
  /** Handles of private keys by CKA_ID in hex. */
  readonly keys = new Map<string, bigint>();
  /** Of the module, when this was made. */
  readonly generation: number;
  isDropped = false;
  readonly #module: Pkcs11Module;
  readonly #most: number;
  readonly #free: Session[] = [];
  readonly #waiting: ((session: Session | undefined) => void)[] = [];
  #opened = 0;

  constructor(module: Pkcs11Module, token: TokenFound, maxSessions: number) {
    this.#module = module;
    this.token = token;
    this.generation = module.generation;
    // One is left for whatever else the operator does with the token.
    const limit = Math.max(1, (token.maxSessions ?? Number.POSITIVE_INFINITY) - 1);
    this.#most = Math.min(maxSessions, limit);
  }

  /** Lends a session for one operation; waits its turn where all are out, at most `timeoutMs`. */
  async borrow<T>(
    work: (session: Session) => Promise<T>,
    wait: { readonly clock: Clock; readonly timeoutMs: number },
  ): Promise<T> {
    const session = await this.#take(wait);
    try {
      return await work(session);
    } finally {
      this.#giveBack(session);
    }
  }

  /** A session of its own that may write. */
  async write<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.#open(ckf.serialSession | ckf.rwSession);
    try {
      return await work(session);
    } finally {
      if (!this.isDropped) await this.#closeQuietly(session);
    }
  }

  /** Nobody waits for it any longer, and nothing of it is used again. */
  async drop(): Promise<void> {
    if (this.isDropped) return;
    this.isDropped = true;
    for (const resume of this.#waiting.splice(0)) resume(undefined);
    for (const session of this.#free.splice(0)) await this.#closeQuietly(session);
  }

  async #take(wait: { readonly clock: Clock; readonly timeoutMs: number }): Promise<Session> {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#opened < this.#most) return this.#openAnother();
    const waiting = new AbortController();
    let resume: (session: Session | undefined) => void = () => {};
    const turn = new Promise<Session | undefined>((resolve) => {
      resume = resolve;
    });
    this.#waiting.push(resume);
    const tooLate = wait.clock.sleep(wait.timeoutMs, { signal: waiting.signal }).then(() => {
      const index = this.#waiting.indexOf(resume);
      if (index >= 0) this.#waiting.splice(index, 1);
      throw new Pkcs11Failure(`no session was free within ${wait.timeoutMs} ms`, 'timeout');
    });
    try {
      const session = await Promise.race([turn, tooLate]);
      if (session !== undefined) return session;
      throw new Pkcs11Failure('the connection ended', 'lost');
    } finally {
      waiting.abort();
      tooLate.catch(() => {});
    }
  }

  async #openAnother(): Promise<Session> {
    this.#opened += 1;
    try {
      return await this.#open(ckf.serialSession);
    } catch (thrown) {
      this.#opened -= 1;
      throw thrown;
    }
  }

  #open(flags: bigint): Promise<Session> {
    return this.#module.call('C_OpenSession', (memory) => {
      const session = memory.number();
      const read = () => session.read();
      return { args: [this.token.slot, flags, 0n, 0n, session.pointer], read };
    });
  }

  #giveBack(session: Session): void {
    const resume = this.#waiting.shift();
    if (resume !== undefined) resume(session);
    else if (this.isDropped) void this.#closeQuietly(session);
    else this.#free.push(session);
  }

  async #closeQuietly(session: Session): Promise<void> {
    if (this.generation !== this.#module.generation) return;
    try {
      await this.#module.call('C_CloseSession', () => ({ args: [session], read: () => {} }));
    } catch (thrown) {
      // A session of a token that is gone is closed already.
      if (!(thrown instanceof Pkcs11Failure)) throw thrown;
    }
  }
}
