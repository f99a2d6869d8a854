import {
  type Clock,
  type Counter,
  CountersignError,
  type Denial,
  type Gauge,
  type Log,
  type Meter,
  messageOf,
} from '@countersign/base';
import { ChangeSignal, type Changes, type X509Svid } from '@countersign/spiffe';
import type { Entry } from '../entries/entry.ts';
import type { EntryBook } from '../entries/entry-book.ts';
import type { BundleBook } from './bundle-book.ts';
import { type IssueBatch, type Ordered, orderSvids } from './order-svids.ts';

export interface SvidKeeperOptions {
  readonly book: EntryBook;
  readonly bundles: BundleBook;
  readonly issue: IssueBatch;
  /** From 0 to below 1, for jitter. */
  readonly random: () => number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

interface Kept {
  readonly entry: Entry;
  svid: X509Svid | undefined;
  dueAt: number;
  failuresInRow: number;
}

/** Certificates in one call; a fleet of entries is renewed in several. */
const atOnce = 64;
const longestNapMs = 60_000;
const leastWaitMs = 100;
const firstWaitMs = 500;
const longestWaitMs = 60_000;

/**
 * An X.509-SVID for every registration entry, renewed at half its lifetime, in memory and nowhere else. A failed renewal
 * removes nothing: what was issued serves for as long as it lives.
 */
export class SvidKeeper implements Changes {
  readonly #options: SvidKeeperOptions;
  readonly #kept = new Map<string, Kept>();
  readonly #changes: ChangeSignal;
  readonly #stopping = new AbortController();
  readonly #unsubscribe: () => void;
  readonly #renewals: Counter;
  readonly #held: Gauge;
  readonly #done: Promise<void>;
  #nap = new AbortController();
  #evicted: Denial | undefined;

  constructor(options: SvidKeeperOptions) {
    this.#options = options;
    this.#changes = new ChangeSignal((thrown) => {
      options.log.error({ err: thrown }, 'a listener to the SVIDs failed');
    });
    this.#renewals = options.meter.counter({
      name: 'countersign_agent_svids_total',
      help: 'X.509-SVIDs that the agent ordered for its workloads, by result.',
      labels: ['result'],
    });
    this.#held = options.meter.gauge({
      name: 'countersign_agent_entries',
      help: 'Registration entries in force.',
    });
    this.#follow();
    this.#unsubscribe = options.book.onChange(() => {
      this.#follow();
      this.#nap.abort();
    });
    this.#done = this.#run();
  }

  /** The valid SVID of an entry; undefined before the first was issued, and after the last has ended. */
  svidOf(id: string): X509Svid | undefined {
    const svid = this.#kept.get(id)?.svid;
    return svid !== undefined && this.#options.clock.now() <= svid.notAfter ? svid : undefined;
  }

  /** Whether it is known by now whether the entry has an SVID: there is one, or an attempt has failed. */
  isSettled(id: string): boolean {
    const kept = this.#kept.get(id);
    return kept !== undefined && (kept.svid !== undefined || kept.failuresInRow > 0);
  }

  /** Why no workload is served: the authority has turned the agent away. */
  get evicted(): Denial | undefined {
    return this.#evicted;
  }

  onChange(listener: () => void): () => void {
    return this.#changes.onChange(listener);
  }

  /** Told by whoever talks to the authority with the agent's certificate. Ends what all workloads have at once. */
  evict(refusal: Denial): void {
    if (this.#evicted === undefined) {
      const { code, detail } = refusal;
      this.#options.log.error({ code }, `the authority turned the agent away: ${detail}`);
    }
    this.#evicted = refusal;
    for (const kept of this.#kept.values()) kept.svid = undefined;
    this.#changes.notify();
  }

  /** The authority speaks with the agent again: everything is ordered anew. */
  readmit(): void {
    if (this.#evicted === undefined) return;
    this.#evicted = undefined;
    this.#options.log.info({}, 'the authority takes the agent again');
    this.renewAll();
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#stopping.abort();
    this.#nap.abort();
    await this.#done;
    this.#kept.clear();
  }

  /** Renews everything now: where keys may be known to somebody else, and for tests. */
  renewAll(): void {
    const now = this.#options.clock.now();
    for (const kept of this.#kept.values()) kept.dueAt = now;
    this.#nap.abort();
  }

  #follow(): void {
    const { entries } = this.#options.book;
    const ids = new Set(entries.map((entry) => entry.id));
    for (const id of this.#kept.keys()) if (!ids.has(id)) this.#kept.delete(id);
    for (const entry of entries) {
      const kept = this.#kept.get(entry.id);
      // What its id does not cover, such as the hint, may have changed.
      if (kept !== undefined) this.#kept.set(entry.id, { ...kept, entry });
      else {
        const fresh = { entry, svid: undefined, dueAt: Number.NEGATIVE_INFINITY, failuresInRow: 0 };
        this.#kept.set(entry.id, fresh);
      }
    }
    this.#held.set(this.#kept.size);
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#stopping.signal.aborted) {
      this.#nap = new AbortController();
      const now = clock.now();
      const due = [...this.#kept.values()].filter((kept) => kept.dueAt <= now).slice(0, atOnce);
      if (due.length > 0) {
        await this.#renew(due.map((kept) => kept.entry));
        continue;
      }
      const next = Math.min(...[...this.#kept.values()].map((kept) => kept.dueAt));
      const napMs = Math.min(Math.max(leastWaitMs, next - now), longestNapMs);
      await clock.sleep(napMs, { signal: this.#nap.signal, ref: false }).catch(() => {});
    }
  }

  async #renew(entries: readonly Entry[]): Promise<void> {
    const { issue, bundles, clock } = this.#options;
    const { signal } = this.#stopping;
    let answers: readonly Ordered[];
    try {
      answers = await orderSvids(entries, { issue, bundles, clock, signal });
    } catch (thrown) {
      if (signal.aborted) return;
      const refusal = refusalOf(thrown);
      answers = entries.map(() => refusal);
    }
    for (const [index, entry] of entries.entries()) {
      // What was under way when the agent was turned away is nobody's any more.
      const answer = this.#evicted ?? answers[index];
      // Deleted meanwhile: nobody is waiting for it.
      const kept = this.#kept.get(entry.id);
      if (kept === undefined || answer === undefined) continue;
      if (answer.ok) this.#swap(kept, answer.svid);
      else this.#failed(kept, answer);
    }
    this.#changes.notify();
  }

  #swap(kept: Kept, svid: X509Svid): void {
    const { clock, random, log } = this.#options;
    const now = clock.now();
    kept.svid = svid;
    kept.failuresInRow = 0;
    const leftMs = svid.notAfter - now;
    kept.dueAt = now + Math.max(leastWaitMs, leftMs * (0.5 - 0.1 * random()));
    this.#renewals.add(1, { result: 'issued' });
    const { serialHex: serial, notAfter } = svid;
    log.info({ spiffeId: kept.entry.spiffeId, serial, notAfter }, 'SVID issued');
  }

  #failed(kept: Kept, { code, detail, fields }: Denial): void {
    const { clock, random, log } = this.#options;
    const now = clock.now();
    kept.failuresInRow += 1;
    const leftMs = kept.svid === undefined ? longestWaitMs * 2 : kept.svid.notAfter - now;
    const ceiling = Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(kept.failuresInRow, 20));
    const { retryAfterMs } = fields;
    // An authority that has many in line says when its turn is; many were told alike.
    const wait =
      typeof retryAfterMs === 'number'
        ? retryAfterMs * (1 + 0.1 * random())
        : ceiling * (0.5 + 0.5 * random());
    const waitMs = Math.max(leastWaitMs, leftMs > 0 ? Math.min(wait, leftMs / 2) : wait);
    kept.dueAt = now + waitMs;
    this.#renewals.add(1, { result: code });
    const level = kept.svid === undefined || leftMs <= 0 ? 'error' : 'warn';
    log[level]({ code, entry: kept.entry.id, waitMs }, `SVID not issued: ${detail}`);
  }
}

function refusalOf(thrown: unknown): Denial {
  if (!(thrown instanceof CountersignError)) {
    return { ok: false, code: 'ERR_INTERNAL', detail: messageOf(thrown), fields: {} };
  }
  return { ok: false, code: thrown.code, detail: thrown.message, fields: thrown.fields };
}
