import { randomBytes, randomInt } from 'node:crypto';
import {
  type Clock,
  type Counter,
  CountersignError,
  type Gauge,
  type Log,
  type Meter,
  messageOf,
} from '@countersign/base';
import {
  ChangeSignal,
  type Changes,
  type RevocationSource,
  type RevocationStatus,
  type VerifiedPeer,
} from '@countersign/spiffe';
import {
  type AuthorityClient,
  type CoveredFrame,
  type CutCounts,
  type FeedFrame,
  feedDialect,
  type HelloFrame,
  type QuestionFrame,
  type RevocationFrame,
} from '@countersign/wire';
import { AppliedQueue } from './applied-queue.ts';
import { backoffMs } from './backoff.ts';
import { FeedDeadline } from './feed-deadline.ts';
import { FeedRecord } from './feed-record.ts';
import { FeedSilence } from './feed-silence.ts';
import { LeaseHolder } from './lease-holder.ts';
import { type JudgedPeer, RevokedSet } from './revoked-set.ts';

export interface FollowOptions {
  readonly client: Pick<AuthorityClient, 'feed' | 'lease' | 'url'>;
  /** Names this process in the authority's list of leases. Random unless given; never the same for two processes. */
  readonly instance?: string;
  /**
   * After longer silence every peer of this authority is `unknown`. Counted from the older of the last frame that was
   * up to date and the last renewal of the lease, so that the lease never ends before. 1 s to 7 days; default 1 h.
   */
  readonly maxSilenceMs?: number;
  /** Silence that is told to the operator. Default 30 s. */
  readonly alarmAfterMs?: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  /**
   * Asked after every batch of applied revocations to re-ask open connections and cut those concerned; what it answers
   * is acknowledged to the authority. A batch is not acknowledged before this succeeded; where it throws, it is asked
   * again a second later. {@link Changes} is notified after it, so that the counts are its own.
   */
  readonly onApplied: (frames: readonly RevocationFrame[]) => CutCounts | Promise<CutCounts>;
  /**
   * Asked how many of the open connections are with peers that a revocation would concern, before it is ordered. Absent:
   * such questions are not answered.
   */
  readonly countOpen?: (concerns: (peer: JudgedPeer) => boolean) => number;
  /** Where to keep what was received, for a restart while the authority is down. Absent: nowhere. */
  readonly statePath?: string;
  /** Stops the follower like `stop()`. */
  readonly signal?: AbortSignal;
  /** From 0 to below 1, for jitter. */
  readonly random?: () => number;
}

export interface RevocationFollower extends RevocationSource, Changes {
  check(peer: VerifiedPeer | JudgedPeer): RevocationStatus;
  readonly instance: string;
  /** Of the newest revocation applied. */
  readonly position: number;
  /** Of the newest revocation that is applied and whose connections are cut. */
  readonly acknowledged: number;
  /** How long nothing has said that the set is up to date; Infinity before the first time. */
  silentMs(): number;
  /**
   * Resolves once answers are known for the first time: caught up and the lease held, or a state file that is fresh
   * enough. Rejects if stopped before.
   */
  readonly ready: Promise<void>;
  /** Ends the feed and releases the lease. Never rejects. */
  stop(): Promise<void>;
}

/**
 * Keeps up with what an authority revokes, for as long as the process lives. Answers `unknown` until it has caught up
 * for the first time, and again once it has heard nothing for too long. Starts at once.
 */
export function followRevocations(options: FollowOptions): RevocationFollower {
  return new Follower(options);
}

const reconnect = { minMs: 250, maxMs: 10_000 };
const recordEveryMs = 60_000;
const good: RevocationStatus = { status: 'good' };

class Follower implements RevocationFollower {
  readonly instance: string;
  readonly ready: Promise<void>;
  readonly #options: FollowOptions;
  readonly #log: Log;
  readonly #changes: ChangeSignal;
  readonly #stopping = new AbortController();
  readonly #silence: FeedSilence;
  readonly #lease: LeaseHolder;
  readonly #queue: AppliedQueue;
  readonly #applied: Counter;
  readonly #connected: Gauge;
  readonly #done: Promise<unknown>;
  readonly #ready = Promise.withResolvers<void>();
  #set = new RevokedSet();
  /** Recorded with the revocation that they are about; of a question they are nothing to remember. */
  #pages: CoveredFrame[] = [];
  #record: FeedRecord | undefined;
  #dropped: Promise<void> | undefined;
  #recordedAt = Number.NEGATIVE_INFINITY;
  /** What is said to be understood; an older authority refuses to be told. */
  #reads: number | undefined = feedDialect;
  #failures = 0;
  #stopped: Promise<void> | undefined;

  constructor(options: FollowOptions) {
    const { client, clock, meter } = options;
    this.#options = options;
    this.instance = options.instance ?? randomBytes(8).toString('hex');
    this.#log = options.log.child({ feed: client.url, instance: this.instance });
    this.#applied = meter.counter({ ...metrics.applied, labels: ['by'] });
    this.#connected = meter.gauge(metrics.connected);
    this.#connected.set(0);
    this.#changes = new ChangeSignal((thrown) => {
      this.#log.error({ err: thrown }, 'a listener to revocations failed');
    });
    this.ready = this.#ready.promise;
    // Whoever does not wait for it must not be ended by it.
    this.ready.catch(() => {});
    const shared = { clock, log: this.#log, random: options.random ?? cryptoRandom };
    this.#silence = new FeedSilence({
      ...shared,
      maxSilenceMs: options.maxSilenceMs ?? 3_600_000,
      alarmAfterMs: options.alarmAfterMs ?? 30_000,
      lagSeconds: meter.gauge(metrics.lag),
      alarm: meter.gauge(metrics.alarm),
      onTurn: () => this.#turned(),
    });
    const { maxSilenceMs } = this.#silence;
    const { instance } = this;
    this.#lease = new LeaseHolder({
      ...shared,
      client,
      instance,
      maxSilenceMs,
      roots: () => [...this.#set.anchors],
      onHeld: (sentAt) => this.#silence.leased(sentAt),
    });
    this.#queue = new AppliedQueue({
      ...shared,
      cut: (frames) => this.#cut(frames),
      onCut: (position, counts) => this.#lease.acknowledge(position, counts),
    });
    this.#done = this.#run(this.#stopping.signal);
    options.signal?.addEventListener('abort', () => void this.stop(), { once: true });
    if (options.signal?.aborted === true) void this.stop();
  }

  get position(): number {
    return this.#set.position;
  }

  get acknowledged(): number {
    return this.#lease.acknowledged;
  }

  check(peer: JudgedPeer): RevocationStatus {
    const revoked = this.#set.find(peer);
    if (revoked !== undefined) return revoked;
    // Before the first hello nobody knows for whom the authority speaks.
    if (this.#set.anchors.size > 0 && !this.#set.speaksFor(peer)) {
      // One authority speaks for a trust domain: a root of it that is not named yet is newer than this hello.
      if (!this.#set.isOfSameDomain(peer)) return good;
      const detail = `root ${peer.anchorFingerprint} is not among those that the revocation feed named`;
      return { status: 'unknown', detail };
    }
    const stale = this.#silence.staleReason();
    return stale === undefined ? good : { status: 'unknown', detail: stale };
  }

  onChange(listener: () => void): () => void {
    return this.#changes.onChange(listener);
  }

  silentMs(): number {
    return this.#silence.silentMs();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    const reason = new CountersignError(
      'ERR_REVOCATION_STOPPED',
      'following the revocation feed was stopped',
    );
    this.#stopping.abort(reason);
    this.#ready.reject(reason);
    await this.#done;
    // Without a lease nobody waits for this edge: its record must not be good for a start without the authority.
    const freshUntil = this.#silence.freshUntil();
    await this.#recordFreshness(0);
    const isReleased = await this.#lease.release();
    if (!isReleased && freshUntil !== undefined) await this.#recordFreshness(freshUntil);
    await this.#record?.close().catch(() => {});
    this.#connected.set(0);
  }

  async #run(signal: AbortSignal): Promise<void> {
    await this.#openRecord();
    await Promise.all([
      this.#followForEver(signal),
      this.#queue.run(signal),
      this.#lease.run(signal),
      this.#silence.watch(signal),
    ]);
  }

  async #followForEver(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const ended = await this.#followOnce(signal).catch((reason: unknown) => reason);
      this.#connected.set(0);
      if (signal.aborted) return;
      this.#failures += 1;
      const waitMs = backoffMs(this.#failures, reconnect, this.#options.random ?? cryptoRandom);
      const reason = ended === undefined ? 'ended by the authority' : messageOf(ended);
      // Until it was heard once nobody is let in: each failure is worth a line.
      const isFirst = this.#failures === 1 || this.silentMs() === Number.POSITIVE_INFINITY;
      const level = isFirst ? 'warn' : 'debug';
      this.#log[level]({ err: ended, position: this.position, waitMs }, `feed: ${reason}`);
      await this.#options.clock.sleep(waitMs, { signal, ref: false }).catch(() => {});
    }
  }

  /** One connection to the feed; returns or throws when it is over. What was applied stays applied. */
  async #followOnce(signal: AbortSignal): Promise<void> {
    const deadline = new FeedDeadline(this.#options.clock, signal);
    let head = Number.POSITIVE_INFINITY;
    try {
      // 1. connect, from the cursor
      const after = this.#set.position;
      const reads = this.#reads === undefined ? {} : { reads: this.#reads };
      const query = { after, instance: this.instance, ...reads, signal: deadline.signal };
      for await (const frame of this.#options.client.feed(query)) {
        deadline.heard();
        // 2. hello: the same authority as before, and not behind us
        if (frame.type === 'hello') {
          head = frame.position;
          deadline.expectEvery(frame.heartbeatMs);
          this.#greet(frame);
        }
        // 3. a revocation, after what it covers: applied in this turn, so that whoever asks from now on is told; then cut,
        //    in its own time
        if (frame.type === 'covered') this.#cover(frame);
        if (frame.type === 'revocation') this.#apply(frame);
        if (frame.type === 'question') this.#answer(frame);
        // 4. a heartbeat: nothing was left out
        if (frame.type === 'heartbeat' && !this.#set.hasCaughtUp(frame.position)) {
          throw gap(frame.position, this.#set.position);
        }
        if (frame.type === 'heartbeat') this.#set.forget(this.#earlier(frame.at));
        // 5. caught up: the set is up to date as of now
        if (this.#set.position >= head) this.#upToDate();
      }
      this.#reads = feedDialect;
    } catch (thrown) {
      // Asked without it once: by the next time the authority may have been brought up to date.
      const isRefused = this.#reads !== undefined && isOlderAuthority(thrown);
      this.#reads = isRefused ? undefined : feedDialect;
      throw thrown;
    } finally {
      deadline.end();
    }
  }

  #greet(hello: HelloFrame): void {
    const isNews = this.#set.greet(hello);
    this.#pages = [];
    if (isNews) this.#write({ ...hello, position: this.#set.position });
    this.#connected.set(1);
    this.#log.info({ position: this.position, head: hello.position }, 'feed connected');
  }

  #cover(page: CoveredFrame): void {
    this.#set.cover(page);
    if (page.page === 0) this.#pages = [];
    this.#pages.push(page);
  }

  #answer(question: QuestionFrame): void {
    const { countOpen } = this.#options;
    const concerns = this.#set.covered(question);
    this.#pages = [];
    if (countOpen === undefined) return;
    const { id, by, value } = question;
    const wouldClose = countOpen(concerns);
    this.#log.info({ by, value, wouldClose }, 'asked what a revocation would cut');
    this.#lease.answer({ id, wouldClose });
  }

  /** A clock that ran ahead must not make anybody forgotten for good. */
  #earlier(theirs: number): number {
    return Math.min(theirs, this.#options.clock.now());
  }

  #apply(frame: RevocationFrame): void {
    this.#set.apply(frame);
    this.#applied.add(1, { by: frame.by });
    this.#write(...this.#pages, frame);
    this.#pages = [];
    this.#queue.push(frame);
    const { position, by, value, reason } = frame;
    this.#log.info({ position, by, value, reason }, 'revocation applied');
  }

  #upToDate(): void {
    this.#failures = 0;
    this.#lease.start();
    this.#silence.heard();
    const now = this.#options.clock.now();
    const freshUntil = this.#silence.freshUntil();
    const everyMs = Math.min(recordEveryMs, this.#silence.maxSilenceMs / 10);
    if (freshUntil !== undefined && now - this.#recordedAt >= everyMs) {
      void this.#recordFreshness(freshUntil);
    }
  }

  async #cut(frames: readonly RevocationFrame[]): Promise<CutCounts> {
    // Durable before it is acknowledged: a restart must not forget what the authority believes to be enforced.
    const isWritten = this.#write();
    try {
      const counts = await this.#options.onApplied(frames);
      await isWritten;
      return counts;
    } finally {
      this.#changes.notify();
    }
  }

  /** The answers turned from unknown to known, or back. */
  #turned(): void {
    if (this.#silence.staleReason() === undefined) this.#ready.resolve();
    this.#changes.notify();
  }

  async #openRecord(): Promise<void> {
    const { statePath } = this.#options;
    if (statePath === undefined) return;
    try {
      const opened = await FeedRecord.open(statePath, { clock: this.#options.clock });
      this.#record = opened.record;
      this.#set = opened.set;
      this.#lease.resumeAt(opened.set.position);
      if (opened.damaged !== undefined) {
        this.#log.error({ statePath }, `revocation state is of no use: ${opened.damaged}`);
      }
      if (opened.freshUntil === undefined) return;
      this.#silence.restore(opened.freshUntil);
      if (this.#silence.staleReason() !== undefined) this.#log.warn({ statePath }, notGoodForStart);
    } catch (thrown) {
      await this.#goOnWithout(thrown, FeedRecord.remove(statePath));
    }
  }

  async #recordFreshness(at: number): Promise<void> {
    this.#recordedAt = this.#options.clock.now();
    await this.#write({ type: 'heartbeat', position: this.#set.position, at });
  }

  async #write(...frames: readonly FeedFrame[]): Promise<void> {
    try {
      await this.#record?.append(...frames);
    } catch (thrown) {
      this.#dropRecord(thrown);
    }
    await this.#dropped;
  }

  #dropRecord(thrown: unknown): void {
    const record = this.#record;
    if (record === undefined) return;
    this.#record = undefined;
    this.#dropped = this.#goOnWithout(thrown, record.discard());
  }

  /** Told once. The file goes, for at the next start it would vouch for whoever was revoked since. */
  async #goOnWithout(thrown: unknown, removed: Promise<void>): Promise<void> {
    this.#log.error({ err: thrown }, `${messageOf(thrown)}; going on without it`);
    await removed.catch((failed: unknown) => {
      this.#log.error({ err: failed }, `${messageOf(failed)}; remove it before the next start`);
    });
  }
}

const notGoodForStart =
  'kept revocations are not current, as after a clean stop, which gives up the lease: nobody is let in before the authority is heard';

const metrics = {
  applied: {
    name: 'countersign_revocations_applied_total',
    help: 'Revocations applied from the feed, by what they name.',
  },
  lag: {
    name: 'countersign_feed_lag_seconds',
    help: 'Time since the revocation feed last proved to be caught up with.',
  },
  connected: {
    name: 'countersign_feed_connected',
    help: 'Whether the revocation feed is connected.',
  },
  alarm: {
    name: 'countersign_feed_silent',
    help: 'Whether the revocation feed is silent for longer than the alarm allows.',
  },
} as const;

function cryptoRandom(): number {
  return randomInt(2 ** 32) / 2 ** 32;
}

/** It refuses the question itself for saying what we read, and is asked without that. */
function isOlderAuthority(thrown: unknown): boolean {
  return thrown instanceof CountersignError && thrown.code === 'ERR_WIRE_UNKNOWN_MEMBER';
}

function gap(head: number, applied: number): CountersignError {
  return new CountersignError(
    'ERR_REVOCATION_GAP',
    `heartbeat says that revocation ${head} was sent, last applied is ${applied}`,
    { fields: { head, applied } },
  );
}
