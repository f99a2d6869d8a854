import {
  type Clock,
  CountersignError,
  formatDuration,
  type Log,
  type Meter,
  messageOf,
} from '@countersign/base';
import { ChangeSignal, type Changes } from '@countersign/spiffe';
import { backoffMs } from '../backoff.ts';
import { type Moment, momentOf } from '../feed-silence.ts';
import { holds, type Kept } from './kept-answer.ts';
import { type LookupMetrics, lookupMetrics } from './lookup-metrics.ts';
import { refreshInMs, type Validity } from './refresh-time.ts';

export interface KeptAnswersOptions<Subject, Answer extends Validity> {
  /** The `method` label of the metrics and logs. */
  readonly method: string;
  /**
   * One look-up: over the network, proved, and no older than what was known. Called once at a time for each key.
   *
   * @throws CountersignError ERR_REVOCATION_*
   */
  readonly look: (
    subject: Subject,
    known: Answer | undefined,
    signal: AbortSignal,
  ) => Promise<Answer>;
  /** Whether peers should be re-asked because of it. */
  readonly isNews: (before: Answer | undefined, now: Answer) => boolean;
  /** Longest time between two looks at what is in use. */
  readonly refreshMs: number;
  /** How long after its end an answer is still used. */
  readonly maxStaleMs: number;
  /** Subjects that are remembered; beyond that those longest unused are forgotten. */
  readonly capacity: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  /** From 0 to below 1. */
  readonly random: () => number;
}

const backoff = { minMs: 1000, maxMs: 60_000 };
/** What nobody asked about for so long is forgotten, after everybody was asked whether they still need it. */
const idleMs = 15 * 60_000;
/** Asking everybody costs a look at every connection. */
const sweepMs = 60_000;
const tickMs = 1000;
const mostRefreshesATick = 64;

/**
 * Answers about subjects (a list, a certificate), kept and refreshed ahead of their end for as long as somebody uses
 * them. One look-up at a time for a subject, shared by all who wait for it; after a failure the next one is some time
 * off, so that a server that is down does not slow every handshake. What is known stays until something better comes.
 */
export class KeptAnswers<Subject, Answer extends Validity> implements Changes {
  readonly #options: KeptAnswersOptions<Subject, Answer>;
  readonly #kept = new Map<string, Kept<Subject, Answer>>();
  readonly #changes: ChangeSignal;
  readonly #metrics: LookupMetrics;
  readonly #stopping = new AbortController();
  readonly #done: Promise<void>;
  #condemned: readonly Kept<Subject, Answer>[] = [];
  #sweptAt: number;
  #generation = 0;

  constructor(options: KeptAnswersOptions<Subject, Answer>) {
    this.#options = options;
    this.#changes = new ChangeSignal((thrown) => {
      options.log.error({ err: thrown }, 'a listener to revocations failed');
    });
    this.#metrics = lookupMetrics(options.meter, options.method);
    this.#sweptAt = options.clock.monotonic();
    this.#done = this.#upkeep(this.#stopping.signal);
  }

  /** Grows whenever something that was known is replaced, so that conclusions from it have to be drawn again. */
  get generation(): number {
    return this.#generation;
  }

  onChange(listener: () => void): () => void {
    return this.#changes.onChange(listener);
  }

  /** What is kept about the subject, from now on if it was not yet. No look-up is made here: see {@link want}. */
  of(key: string, subject: Subject): Kept<Subject, Answer> {
    const known = this.#kept.get(key);
    if (known !== undefined) {
      this.#touch(known);
      return known;
    }
    const kept: Kept<Subject, Answer> = {
      ...{ key, subject, answer: undefined, at: undefined, failure: undefined, failures: 0 },
      ...{ pending: undefined, dueAt: 0, usedAt: 0, isUsable: false, isFresh: false },
    };
    this.#touch(kept);
    this.#makeRoom();
    this.#kept.set(key, kept);
    return kept;
  }

  /** Says that it is in use, and takes it back where it was forgotten since. */
  keep(kept: Kept<Subject, Answer>): Kept<Subject, Answer> {
    if (this.#kept.get(kept.key) === kept) {
      this.#touch(kept);
      return kept;
    }
    const other = this.#kept.get(kept.key);
    if (other !== undefined) return this.of(kept.key, kept.subject);
    this.#touch(kept);
    this.#makeRoom();
    this.#kept.set(kept.key, kept);
    return kept;
  }

  /** Whether its answer may be used, stale for as long as the operator allows. */
  isUsable(kept: Kept<Subject, Answer>): boolean {
    return holds(kept, momentOf(this.#options.clock), this.#options.maxStaleMs);
  }

  /** The look-up that it takes until something usable is known; undefined where that is so, or where it is no use now. */
  want(kept: Kept<Subject, Answer>): Promise<void> | undefined {
    if (this.isUsable(kept)) return undefined;
    if (kept.pending !== undefined) return kept.pending;
    return this.#isDue(kept) ? this.#look(kept) : undefined;
  }

  /** Looks now, whatever is known. Shared with a look-up that is under way. */
  look(kept: Kept<Subject, Answer>): Promise<void> {
    return kept.pending ?? this.#look(kept);
  }

  [Symbol.iterator](): IterableIterator<Kept<Subject, Answer>> {
    return this.#kept.values();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(
      new CountersignError('ERR_REVOCATION_STOPPED', 'checking revocation was stopped'),
    );
    await this.#done;
    await Promise.all([...this.#kept.values()].map(({ pending }) => pending));
  }

  #look(kept: Kept<Subject, Answer>): Promise<void> {
    const { method, look, clock } = this.#options;
    const startedAt = clock.monotonic();
    const done = (result: string) => {
      kept.pending = undefined;
      this.#metrics.lookedUp(result, (clock.monotonic() - startedAt) / 1000);
    };
    const { signal } = this.#stopping;
    const looked = signal.aborted
      ? Promise.reject(signal.reason)
      : Promise.resolve().then(() => look(kept.subject, kept.answer, signal));
    kept.pending = looked.then(
      (answer) => {
        done('ok');
        this.#learn(kept, answer);
      },
      (thrown: unknown) => {
        const code = thrown instanceof CountersignError ? thrown.code : 'ERR_INTERNAL';
        done(code);
        this.#miss(kept, thrown, method);
      },
    );
    return kept.pending;
  }

  #learn(kept: Kept<Subject, Answer>, answer: Answer): void {
    const { clock, refreshMs, random, log, isNews } = this.#options;
    const before = kept.answer;
    if (kept.failures > 0) log.info({ lookup: kept.key }, 'revocation can be looked up again');
    kept.answer = answer;
    kept.at = momentOf(clock);
    kept.failure = undefined;
    kept.failures = 0;
    kept.dueAt = clock.monotonic() + refreshInMs(answer, clock.now(), refreshMs, random);
    if (before !== answer) this.#generation += 1;
    kept.isUsable = this.isUsable(kept);
    kept.isFresh = holds(kept, kept.at, 0);
    if (isNews(before, answer)) this.#changes.notify();
  }

  #miss(kept: Kept<Subject, Answer>, thrown: unknown, method: string): void {
    const { clock, log, random } = this.#options;
    kept.failure = messageOf(thrown);
    kept.failures += 1;
    const waitMs = backoffMs(kept.failures, backoff, random);
    kept.dueAt = clock.monotonic() + waitMs;
    if (this.#stopping.signal.aborted) return;
    const level = kept.failures === 1 ? 'warn' : 'debug';
    log[level]({ method, waitMs, err: thrown }, `revocation look-up failed: ${kept.failure}`);
  }

  async #upkeep(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#options.clock.sleep(tickMs, { signal, ref: false }).catch(() => {});
      if (!signal.aborted) this.#tick();
    }
  }

  #tick(): void {
    const now = momentOf(this.#options.clock);
    this.#forgetUnused(now);
    const counts = { fresh: 0, stale: 0, none: 0 };
    let hasTurned = false;
    let started = 0;
    for (const kept of this.#kept.values()) {
      hasTurned = this.#age(kept, now) || hasTurned;
      counts[kept.isFresh ? 'fresh' : kept.isUsable ? 'stale' : 'none'] += 1;
      const isOurTurn = kept.pending === undefined && this.#isDue(kept);
      if (!isOurTurn || started >= mostRefreshesATick) continue;
      started += 1;
      void this.#look(kept);
    }
    this.#metrics.kept(counts);
    if (hasTurned) this.#changes.notify();
  }

  /** @returns whether its answer can be used no longer */
  #age(kept: Kept<Subject, Answer>, now: Moment): boolean {
    const { maxStaleMs, log, method } = this.#options;
    const { isFresh: wasFresh, isUsable: wasUsable } = kept;
    kept.isFresh = holds(kept, now, 0);
    kept.isUsable = holds(kept, now, maxStaleMs);
    const fields = { method, lookup: kept.key, reason: kept.failure };
    if (wasFresh && !kept.isFresh && kept.isUsable) {
      const limit = formatDuration(maxStaleMs);
      log.warn(fields, `what is known of revocation is over, and used for ${limit} more at most`);
    }
    if (!wasUsable || kept.isUsable) return false;
    log.error(fields, 'revocation is unknown from now on');
    return true;
  }

  /** In two steps: whoever holds a connection that needs it is asked again first, and says so by asking for it. */
  #forgetUnused(now: Moment): void {
    if (now.monotonic - this.#sweptAt < sweepMs) return;
    this.#sweptAt = now.monotonic;
    const isUnused = (kept: Kept<Subject, Answer>) => now.monotonic - kept.usedAt > idleMs;
    for (const kept of this.#condemned) if (isUnused(kept)) this.#kept.delete(kept.key);
    this.#condemned = [...this.#kept.values()].filter(isUnused);
    if (this.#condemned.length > 0) this.#changes.notify();
  }

  #makeRoom(): void {
    if (this.#kept.size < this.#options.capacity) return;
    const byAge = [...this.#kept.values()].sort((a, b) => a.usedAt - b.usedAt);
    // An eighth at a time: looking for the oldest costs more than forgetting it.
    const surplus = Math.max(1, Math.floor(this.#options.capacity / 8));
    for (const kept of byAge.slice(0, surplus)) this.#kept.delete(kept.key);
  }

  #isDue(kept: Kept<Subject, Answer>): boolean {
    return this.#options.clock.monotonic() >= kept.dueAt;
  }

  #touch(kept: Kept<Subject, Answer>): void {
    kept.usedAt = this.#options.clock.monotonic();
  }
}
