import {
  type Clock,
  CountersignError,
  formatDuration,
  type Gauge,
  type Log,
} from '@countersign/base';

export interface SilenceOptions {
  readonly clock: Clock;
  readonly maxSilenceMs: number;
  readonly alarmAfterMs: number;
  readonly log: Log;
  readonly lagSeconds: Gauge;
  readonly alarm: Gauge;
  /** The answers went from known to unknown, or back. */
  readonly onTurn: () => void;
}

const longestSilenceMs = 7 * 86_400_000;

/**
 * How long nothing has said that the set is up to date, and what follows from that: an alarm, then `unknown`.
 *
 * Counted from the older of two facts: a frame of the feed that was up to date, and a renewal of the lease, by the time
 * it was sent. So this edge stops answering no later than its lease ends at the authority, and "every live lease has
 * acknowledged" means every edge that still answers. Time is the larger of both clocks' differences: neither a machine
 * that slept nor a wall clock that was set back makes silence shorter.
 */
export class FeedSilence {
  readonly maxSilenceMs: number;
  readonly #options: SilenceOptions;
  readonly #startedAt: number;
  #heard: Moment | undefined;
  #leased: Moment | undefined;
  #restored: Moment | undefined;
  #alarmed = false;
  #wasStale = true;

  /** @throws CountersignError ERR_USAGE for a maximum silence out of range */
  constructor(options: SilenceOptions) {
    if (!(options.maxSilenceMs >= 1000 && options.maxSilenceMs <= longestSilenceMs)) {
      const found = formatDuration(options.maxSilenceMs);
      throw new CountersignError('ERR_USAGE', `maximum silence is ${found}, expected 1s to 168h`);
    }
    this.#options = options;
    options.alarm.set(0);
    this.maxSilenceMs = options.maxSilenceMs;
    this.#startedAt = options.clock.monotonic();
  }

  /** The set is up to date as of now. */
  heard(): void {
    this.#heard = this.#now();
    this.#turn();
  }

  /** The lease was renewed by a request that was sent at this moment. */
  leased(sentAt: Moment): void {
    this.#leased = sentAt;
    this.#turn();
  }

  /** From the record of an earlier process. A moment further ahead than a silence may last is not believed. */
  restore(freshUntil: number): void {
    const now = this.#now();
    const left = freshUntil - now.wall;
    if (left <= 0 || left > this.maxSilenceMs) return;
    const silent = this.maxSilenceMs - left;
    this.#restored = { wall: now.wall - silent, monotonic: now.monotonic - silent };
    this.#turn();
  }

  /** Infinity before the first time. */
  silentMs(): number {
    const now = this.#now();
    const since = this.#since();
    if (since === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(0, now.monotonic - since.monotonic, now.wall - since.wall);
  }

  /** Until when the set may be used, by the wall clock; undefined if not at all. */
  freshUntil(): number | undefined {
    const since = this.#since();
    return since === undefined ? undefined : since.wall + this.maxSilenceMs;
  }

  /** Why the answer is `unknown`, or undefined while it is known. */
  staleReason(): string | undefined {
    const silent = this.silentMs();
    if (silent <= this.maxSilenceMs) return undefined;
    const limit = `at most ${formatDuration(this.maxSilenceMs)} are allowed`;
    if (silent === Number.POSITIVE_INFINITY)
      return 'the revocation feed was not caught up with yet';
    return `the revocation feed is silent for ${formatDuration(silent)}, ${limit}`;
  }

  /** Looks again and again until stopped. */
  async watch(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const everyMs = Math.min(1000, Math.max(10, this.maxSilenceMs / 20));
    while (!signal.aborted) {
      this.#look();
      await clock.sleep(everyMs, { signal, ref: false }).catch(() => {});
    }
  }

  #look(): void {
    const { clock, alarmAfterMs, lagSeconds } = this.#options;
    const now = clock.monotonic();
    lagSeconds.set((now - (this.#heard?.monotonic ?? this.#startedAt)) / 1000);
    const silent = this.silentMs();
    const knownMs = Number.isFinite(silent) ? silent : now - this.#startedAt;
    this.#alarm(knownMs >= alarmAfterMs, knownMs);
    this.#turn();
  }

  #alarm(isSilent: boolean, silentMs: number): void {
    if (isSilent === this.#alarmed) return;
    this.#alarmed = isSilent;
    this.#options.alarm.set(isSilent ? 1 : 0);
    const { log } = this.#options;
    if (!isSilent) {
      log.info({}, 'revocation feed is heard again');
      return;
    }
    if (this.#since() === undefined) {
      log.warn({ silentMs }, 'revocation feed was not heard since the start; nobody is let in');
      return;
    }
    const limit = formatDuration(this.maxSilenceMs);
    log.warn({ silentMs }, `revocation feed is silent; after ${limit} of it nobody is let in`);
  }

  #turn(): void {
    const isStale = this.staleReason() !== undefined;
    if (isStale === this.#wasStale) return;
    this.#wasStale = isStale;
    const { log, onTurn } = this.#options;
    if (isStale) log.error({ silentMs: this.silentMs() }, 'revocation is unknown from now on');
    onTurn();
  }

  #since(): Moment | undefined {
    const own = older(this.#heard, this.#leased);
    if (own === undefined || this.#restored === undefined) return own ?? this.#restored;
    return own.monotonic >= this.#restored.monotonic ? own : this.#restored;
  }

  #now(): Moment {
    return momentOf(this.#options.clock);
  }
}

/** One point in time on both clocks. */
export interface Moment {
  readonly wall: number;
  readonly monotonic: number;
}

export function momentOf(clock: Clock): Moment {
  return { wall: clock.now(), monotonic: clock.monotonic() };
}

function older(a: Moment | undefined, b: Moment | undefined): Moment | undefined {
  if (a === undefined || b === undefined) return undefined;
  return a.monotonic <= b.monotonic ? a : b;
}
