import type { Clock, Log } from '@countersign/base';
import { CountersignError, messageOf } from '@countersign/base';
import type { Ledger, RevokedCursor, RevokedRow } from '../ledger/ledger.ts';
import { isRelease } from '../ledger/revocation-order.ts';
import { Bell } from '../serve/bell.ts';
import { type RevokedSince, RevokedTable } from './revoked-table.ts';

export interface RevokedIndexOptions {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  /**
   * Told of each certificate when its first revocation is read, when a hold gives way to one for good, and when it is
   * released (`removeFromCRL`); rows come in the order of revocations.
   */
  readonly onRevoked: (row: RevokedRow) => void;
  /** Everything is going to be told again. */
  readonly onRestart?: () => void;
}

/** Rows are read in slices, so that nothing else has to wait for a large ledger. */
const pageRows = 512;
const firstRetryMs = 250;
const longestRetryMs = 10_000;

/**
 * The serial numbers that revocations cover, read from the ledger from its beginning and then as they are committed.
 * It holds nothing that the ledger does not: whoever starts again reads again.
 */
export class RevokedIndex {
  readonly #options: RevokedIndexOptions;
  #table = new RevokedTable();
  readonly #bell = new Bell();
  readonly #stopped = new AbortController();
  readonly #unsubscribe: () => void;
  readonly #done: Promise<void>;
  #loaded = Promise.withResolvers<void>();
  /** How often it has begun anew. */
  #restarts = 0;
  #cursor: RevokedCursor = { revocation: 0, intent: 0 };
  /** Of the newest revocation that is known to be committed. */
  #head = 0;
  #isLoaded = false;
  #waiting: { readonly head: number; readonly resolve: () => void }[] = [];

  constructor(options: RevokedIndexOptions) {
    this.#options = options;
    this.#unsubscribe = options.ledger.onCommit((head) => {
      this.#head = Math.max(this.#head, head);
      this.#bell.ring();
    });
    this.#done = this.#follow();
  }

  /** Resolves once everything was read that was there at the start; never, where it is stopped before. */
  get loaded(): Promise<void> {
    return this.#loaded.promise;
  }

  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  /** Position of the newest revocation that was read whole. */
  get position(): number {
    const { revocation, intent } = this.#cursor;
    return intent === revocation ? revocation : revocation - 1;
  }

  get size(): number {
    return this.#table.size;
  }

  /** Whether a revocation is committed here that was not read yet. */
  get isBehind(): boolean {
    return this.position < this.#head;
  }

  /** Since when an intent's certificate is revoked, as far as was read. */
  get(intent: number): RevokedSince | undefined {
    return this.#table.get(intent);
  }

  /** Resolves once everything was read that is committed now, or after `ms`. */
  async ready(ms: number): Promise<void> {
    if (this.#isLoaded && !this.isBehind) return;
    const reached = Promise.withResolvers<void>();
    const waiting = { head: this.#head, resolve: reached.resolve };
    this.#waiting.push(waiting);
    const over = new AbortController();
    const late = this.#options.clock.sleep(ms, { signal: over.signal, ref: false });
    await Promise.race([reached.promise, late.catch(() => {})]);
    over.abort();
    this.#waiting = this.#waiting.filter((each) => each !== waiting);
  }

  /** Forgets everything and reads the ledger from its beginning. */
  restart(): void {
    this.#restarts += 1;
    this.#table = new RevokedTable();
    this.#cursor = { revocation: 0, intent: 0 };
    if (this.#isLoaded) this.#loaded = Promise.withResolvers<void>();
    this.#isLoaded = false;
    this.#options.onRestart?.();
    this.#bell.ring();
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#stopped.abort();
    await this.#done;
  }

  async #follow(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#stopped;
    let retryMs = firstRetryMs;
    while (!signal.aborted) {
      const { rings } = this.#bell;
      try {
        const more = await this.#readPage();
        retryMs = firstRetryMs;
        if (!more) await this.#bell.wait(rings, longestRetryMs, clock, signal);
      } catch (thrown) {
        const code = thrown instanceof CountersignError ? thrown.code : undefined;
        if (signal.aborted || code === 'ERR_LEDGER_CLOSED') return;
        log.error({ code, error: messageOf(thrown), retryMs }, 'revocations could not be read');
        await clock.sleep(retryMs, { signal, ref: false }).catch(() => {});
        retryMs = Math.min(retryMs * 2, longestRetryMs);
      }
    }
  }

  async #readPage(): Promise<boolean> {
    const restarts = this.#restarts;
    const page = await this.#options.ledger.revokedAfter(this.#cursor, pageRows);
    if (this.#stopped.signal.aborted) return false;
    if (restarts !== this.#restarts) return true;
    for (const row of page.rows) {
      const { intent, at, reason } = row;
      const isNews = isRelease(reason)
        ? this.#table.release(intent)
        : this.#table.add(intent, at, reason);
      if (!isNews) continue;
      const since = this.#table.get(intent)?.at ?? at;
      this.#options.onRevoked(since === Math.floor(at / 1000) * 1000 ? row : { ...row, at: since });
    }
    this.#cursor = page.next;
    this.#head = Math.max(this.#head, this.position);
    if (!page.more && !this.#isLoaded) {
      this.#isLoaded = true;
      this.#loaded.resolve();
    }
    for (const { head, resolve } of this.#waiting) {
      if (this.#isLoaded && this.position >= head) resolve();
    }
    return page.more;
  }
}
