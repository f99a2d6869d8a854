import { type Clock, type Log, messageOf } from '@countersign/base';
import type { AuthorityClient, CutCounts, QuestionAnswer } from '@countersign/wire';
import { backoffMs } from './backoff.ts';
import { type Moment, momentOf } from './feed-silence.ts';

export interface LeaseHolderOptions {
  readonly client: Pick<AuthorityClient, 'lease'>;
  readonly instance: string;
  readonly maxSilenceMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  /** SHA-256 of each root that the feed has named. */
  readonly roots: () => readonly string[];
  /** The lease was taken or renewed by a request sent at that moment. */
  readonly onHeld: (sentAt: Moment) => void;
}

/** The newest: nobody waits for the word about older ones. */
const mostRoots = 64;
const longestRenewalMs = 10_000;
const releaseTimeoutMs = 2000;
const mostAnswers = 64;
const backoff = { minMs: 250, maxMs: 5000 };

/**
 * Takes the lease once the feed was caught up with, renews it at least every 10 s, and at once when something was cut:
 * the renewal carries the acknowledgement. Counts that did not get through go with the next one.
 */
export class LeaseHolder {
  readonly #options: LeaseHolderOptions;
  #acknowledged = 0;
  #unreported: CutCounts | undefined;
  #answers: QuestionAnswer[] = [];
  #isStarted = false;
  #isDue = false;
  #wake: () => void = () => {};

  constructor(options: LeaseHolderOptions) {
    this.#options = options;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Everything up to the set's position is applied for the first time. Later calls do nothing. */
  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#nudge();
  }

  /** For what was applied before there was a connection to cut. */
  resumeAt(position: number): void {
    this.#acknowledged = position;
  }

  acknowledge(position: number, counts: CutCounts): void {
    this.#acknowledged = Math.max(this.#acknowledged, position);
    this.#unreported = addCounts(this.#unreported, counts);
    if (this.#isStarted) this.#nudge();
  }

  /** To a question of the feed; it goes with a renewal at once, and with no later one. */
  answer(answer: QuestionAnswer): void {
    if (this.#answers.length < mostAnswers) this.#answers.push(answer);
    if (this.#isStarted) this.#nudge();
  }

  async run(signal: AbortSignal): Promise<void> {
    const renewMs = Math.min(longestRenewalMs, this.#options.maxSilenceMs / 3);
    let failures = 0;
    await this.#started(signal);
    while (!signal.aborted) {
      const isHeld = await this.#renew(signal, failures);
      failures = isHeld ? 0 : failures + 1;
      const waitMs = isHeld ? renewMs : backoffMs(failures, backoff, this.#options.random);
      // A failure is not retried at once because something else was cut meanwhile.
      await this.#nap(waitMs, signal, isHeld);
    }
  }

  /** @returns whether the authority has let go of the lease, or never had it */
  async release(): Promise<boolean> {
    const { client, instance, clock, log } = this.#options;
    if (!this.#isStarted) return true;
    const giveUp = new AbortController();
    const over = new AbortController();
    clock.sleep(releaseTimeoutMs, { signal: over.signal, ref: false }).then(
      () => giveUp.abort(new Error(`no answer within ${releaseTimeoutMs} ms`)),
      () => {},
    );
    try {
      await client.lease({ release: true, instance }, { signal: giveUp.signal });
      return true;
    } catch (thrown) {
      log.warn({ err: thrown }, `release the lease: ${messageOf(thrown)}; it ends by itself`);
      return false;
    } finally {
      over.abort();
    }
  }

  async #renew(signal: AbortSignal, failures: number): Promise<boolean> {
    const { client, instance, maxSilenceMs, clock, log, onHeld, roots } = this.#options;
    const closed = this.#unreported;
    const position = this.#acknowledged;
    const answers = this.#answers;
    this.#unreported = undefined;
    this.#answers = [];
    this.#isDue = false;
    const sentAt = momentOf(clock);
    try {
      const request = {
        ...{ release: false, instance, maxSilenceMs, position },
        roots: roots().slice(-mostRoots),
      } as const;
      const more = { ...(closed && { closed }), ...(answers.length > 0 && { answers }) };
      await client.lease({ ...request, ...more }, { signal });
    } catch (thrown) {
      this.#unreported = addCounts(closed, this.#unreported);
      if (signal.aborted) return false;
      const level = failures === 0 ? 'warn' : 'debug';
      log[level]({ err: thrown, position }, `renew the lease: ${messageOf(thrown)}`);
      return false;
    }
    onHeld(sentAt);
    return true;
  }

  async #started(signal: AbortSignal): Promise<void> {
    if (this.#isStarted || signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  async #nap(ms: number, signal: AbortSignal, isWakeable: boolean): Promise<void> {
    if (isWakeable && this.#isDue) return;
    const awake = new AbortController();
    const either = AbortSignal.any([signal, awake.signal]);
    if (isWakeable) this.#wake = () => awake.abort();
    await this.#options.clock.sleep(ms, { signal: either, ref: false }).catch(() => {});
    this.#wake = () => {};
  }

  #nudge(): void {
    this.#isDue = true;
    this.#wake();
  }
}

function addCounts(a: CutCounts | undefined, b: CutCounts | undefined): CutCounts | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  const codes: Record<string, number> = { ...a.codes };
  for (const [code, count] of Object.entries(b.codes ?? {}))
    codes[code] = (codes[code] ?? 0) + count;
  return {
    closed: a.closed + b.closed,
    kept: b.kept,
    elapsedMs: a.elapsedMs + b.elapsedMs,
    codes,
  };
}
