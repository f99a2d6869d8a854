import {
  type Clock,
  type Denial,
  denial,
  type Gauge,
  type Log,
  type Meter,
} from '@countersign/base';

export interface QueueLimits {
  /** Orders that are worked on at once. Default 128: so many share a commit of the ledger. */
  readonly abreast?: number;
  /** How long an order may have to wait that has time to come again. Default 2000. */
  readonly patientMs?: number;
  /** The same for one that has none. Default 8000: clients give up after 15,000. */
  readonly hastyMs?: number;
  /** Places in line that one caller (`key`) may hold at once. Default 16. */
  readonly mostPerKey?: number;
}

export interface QueuedOrder {
  /** Who asks, such as the serial of its certificate: it is known again when it comes in its turn. */
  readonly key?: string | undefined;
  /**
   * On whose behalf a door asks, where one caller speaks for many: a whole cluster by one account. `mostPerKey` does not count
   * then; like everybody it has at most half of a full line, in certificates.
   */
  readonly holder?: string | undefined;
  /** When the certificate ends that this one is to follow; absent: there is none, or it is not known. */
  readonly endsAt?: number | undefined;
  /** Certificates that are asked for. Default 1. */
  readonly count?: number;
  /** Aborted where the caller has left: nobody is there to get what would be issued. */
  readonly left?: () => AbortSignal;
}

/** A place at the counter; whoever has one gives it back. */
export interface Seat {
  readonly ok: true;
  leave(): void;
}

export interface IssueQueueOptions {
  readonly limits?: QueueLimits | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  /** From 0 to below 1. */
  readonly random?: () => number;
}

interface Waiting {
  /** Who is counted for the place. */
  readonly holder: string | undefined;
  readonly count: number;
  seat(answer: Seat | Denial): void;
}

type Line = 'hasty' | 'patient';

const nothing = { orders: 0, certificates: 0 };

/** Orders a millisecond, until it was measured. */
const firstPace = 0.5;
const measuredOverMs = { first: 200, later: 500, longest: 2000 } as const;
/** Whoever ends sooner than this is served before all others. */
const hasteMs = 120_000;
const longestAwayMs = 600_000;
/** Where it is not known until when the caller can wait. */
const longestUnknownMs = 30_000;
/** Who comes later than so long after its turn is as one that comes for the first time. */
const latestMs = 120_000;
const mostTurns = 200_000;
/** Told in whole seconds. */
const earlyMs = 1000;
const toldEveryMs = 10_000;

/**
 * The counter of an authority: as many orders at once as share a commit, the others in line, those first whose
 * certificates end soon or who have none yet. Who would wait too long in line is sent away before its order is read, with
 * the time at which its turn will be: everybody who is sent away gets a turn of its own, as far apart as orders are worked
 * off, and is let in before those that come for the first time, so that after an outage a fleet is refused once and not in
 * a loop; and nobody is told to come after its end.
 */
export class IssueQueue {
  readonly #options: IssueQueueOptions;
  readonly #limits: Required<QueueLimits>;
  readonly #random: () => number;
  readonly #inLine: Gauge;
  /** In order; whoever leaves is out of them at once, so that no line is longer than what it weighs. */
  readonly #lines: Readonly<Record<Line, Set<Waiting>>> = {
    hasty: new Set(),
    patient: new Set(),
  };
  readonly #weights = { hasty: 0, patient: 0 };
  #working = 0;
  #pace = firstPace;
  #isMeasured = false;
  #measuredFrom: number | undefined;
  #done = 0;
  /** When whose turn is, by key, in about that order. */
  readonly #turns = new Map<string, number>();
  /** Until when turns are given away. */
  #promisedUntil = 0;
  /** What is in line, by holder. */
  readonly #held = new Map<string, typeof nothing>();
  #sentAway = 0;
  #isTelling = false;

  constructor(options: IssueQueueOptions) {
    const {
      abreast = 128,
      patientMs = 2000,
      hastyMs = 8000,
      mostPerKey = 16,
    } = options.limits ?? {};
    this.#options = options;
    this.#limits = { abreast, patientMs, hastyMs, mostPerKey };
    this.#random = options.random ?? Math.random;
    this.#inLine = options.meter.gauge({
      name: 'countersign_issue_queue_orders',
      help: 'Orders that wait until others are issued.',
    });
  }

  /** Certificates a second that it works off, as measured when it was last busy. */
  get pacePerSecond(): number {
    return this.#pace * 1000;
  }

  /** Does the work once there is a seat for it. Denials: ERR_API_BUSY, with `retryAfterS`, and those of the work. */
  async serve<T>(order: QueuedOrder, work: () => T | Promise<T>): Promise<T | Denial> {
    const seat = await this.enter(order);
    if (!seat.ok) return seat;
    try {
      return await work();
    } finally {
      seat.leave();
    }
  }

  /** Denials: ERR_API_BUSY, with `retryAfterS`. */
  async enter(order: QueuedOrder = {}): Promise<Seat | Denial> {
    const { endsAt, count = 1, left } = order;
    const { clock } = this.#options;
    const turn = this.#turns.get(order.key ?? '');
    // 1. at once, as nearly always
    if (this.#working < this.#limits.abreast && this.#weight === 0) {
      this.#turns.delete(order.key ?? '');
      return this.#seat(count);
    }
    // 2. not at all, where it would take too long
    const leftMs = endsAt === undefined ? undefined : endsAt - clock.now();
    const endsSoon = leftMs !== undefined && leftMs < Math.max(hasteMs, 2 * this.#promisedMs());
    const isHasty = endsSoon || (turn !== undefined && clock.monotonic() >= turn - earlyMs);
    const { patientMs, hastyMs } = this.#limits;
    // Who tells nothing of its end is let wait as long as its client does, in turn with all others.
    const mostMs = isHasty || leftMs === undefined ? hastyMs : patientMs;
    const aheadMs = this.#aheadMs(isHasty);
    const freeMs = isHasty || leftMs === undefined ? 0 : this.#promisedMs();
    if (Math.max(aheadMs, freeMs) > mostMs) return this.#sendAway(order, aheadMs, leftMs);
    const holder = order.holder ?? order.key;
    const further = this.#wrongWithFurther(holder, order, aheadMs);
    if (further !== undefined) return further;
    // 3. in line, for as long as the caller stays
    this.#turns.delete(order.key ?? '');
    const gone = left?.();
    if (gone?.aborted === true) return leftWhileWaiting();
    return await new Promise<Seat | Denial>((resolve) => {
      const line = isHasty ? 'hasty' : 'patient';
      const waiting: Waiting = { holder, count, seat: resolve };
      this.#lines[line].add(waiting);
      this.#weigh(line, count);
      this.#hold(waiting, 1);
      gone?.addEventListener(
        'abort',
        () => {
          if (this.#outOf(line, waiting)) resolve(leftWhileWaiting());
        },
        { once: true },
      );
    });
  }

  get #weight(): number {
    return this.#weights.hasty + this.#weights.patient;
  }

  #weigh(line: Line, count: number): void {
    this.#weights[line] += count;
    this.#inLine.set(this.#weight);
  }

  /** Whether it was still in line. */
  #outOf(line: Line, waiting: Waiting): boolean {
    if (!this.#lines[line].delete(waiting)) return false;
    this.#weigh(line, -waiting.count);
    this.#hold(waiting, -1);
    return true;
  }

  #hold({ holder, count }: Waiting, sign: 1 | -1): void {
    if (holder === undefined) return;
    const { orders, certificates } = this.#held.get(holder) ?? nothing;
    const now = { orders: orders + sign, certificates: certificates + sign * count };
    if (now.orders > 0) this.#held.set(holder, now);
    else this.#held.delete(holder);
  }

  /** One caller's own orders, however many and of however many certificates, leave room for those of others. */
  #wrongWithFurther(
    holder: string | undefined,
    order: QueuedOrder,
    aheadMs: number,
  ): Denial | undefined {
    const { mostPerKey, hastyMs } = this.#limits;
    const { orders, certificates } = this.#held.get(holder ?? '') ?? nothing;
    // The first gets its place whatever its size: it would never get one otherwise.
    if (orders === 0) return undefined;
    const most = Math.max(mostPerKey, Math.floor((hastyMs * this.#pace) / 2));
    const { count = 1 } = order;
    const isByKey = order.holder === undefined && orders >= mostPerKey;
    if (!isByKey && certificates + count <= most) return undefined;
    const retryAfterS = Math.max(1, Math.ceil(aheadMs / 1000));
    const detail = isByKey
      ? `${orders} orders of this caller are in line, at most ${mostPerKey} may be`
      : `${certificates} certificates for this caller are in line, with ${count} more there would be more than ${most}`;
    const perSecond = Math.round(this.pacePerSecond);
    return denial('ERR_API_BUSY', detail, { retryAfterS, waiting: this.#weight, perSecond });
  }

  #aheadMs(isHasty: boolean): number {
    const ahead = isHasty ? this.#weights.hasty : this.#weight;
    return (ahead + this.#working) / this.#pace;
  }

  #promisedMs(): number {
    return Math.max(0, this.#promisedUntil - this.#options.clock.monotonic());
  }

  #seat(count: number): Seat {
    this.#working += count;
    if (this.#working >= this.#limits.abreast && this.#measuredFrom === undefined) {
      this.#beginToMeasure();
    }
    let isGiven = true;
    return {
      ok: true,
      leave: () => {
        if (!isGiven) return;
        isGiven = false;
        this.#working -= count;
        this.#done += count;
        this.#measure();
        this.#seatNext();
      },
    };
  }

  #seatNext(): void {
    while (this.#working < this.#limits.abreast) {
      const line = this.#lines.hasty.size > 0 ? 'hasty' : 'patient';
      const [next] = this.#lines[line];
      if (next === undefined) break;
      this.#outOf(line, next);
      next.seat(this.#seat(next.count));
    }
    if (this.#working < this.#limits.abreast / 2) this.#measuredFrom = undefined;
  }

  #beginToMeasure(): void {
    this.#measuredFrom = this.#options.clock.monotonic();
    this.#done = 0;
  }

  /**
   * While the counter is full, what is done in a time is what can be done. Orders end by the commit, many at once: the first
   * of one alone says nothing of the pace.
   */
  #measure(): void {
    if (this.#measuredFrom === undefined) return;
    const tookMs = this.#options.clock.monotonic() - this.#measuredFrom;
    if (tookMs < measuredOverMs[this.#isMeasured ? 'later' : 'first']) return;
    if (this.#done < this.#limits.abreast && tookMs < measuredOverMs.longest) return;
    const found = this.#done / tookMs;
    this.#pace = this.#isMeasured
      ? Math.max(0.001, 0.5 * (this.#pace + found))
      : Math.max(firstPace / 4, found);
    this.#isMeasured = true;
    this.#beginToMeasure();
  }

  #sendAway({ key, count = 1 }: QueuedOrder, aheadMs: number, leftMs: number | undefined): Denial {
    const now = this.#options.clock.monotonic();
    // Who comes before its turn keeps it.
    const kept = this.#turns.get(key ?? '');
    const isKept = kept !== undefined && kept > now;
    const turn = isKept ? kept : Math.max(now + aheadMs, this.#promisedUntil) + count / this.#pace;
    const mostMs = Math.min(
      longestAwayMs,
      leftMs === undefined ? longestUnknownMs : Math.max(1000, leftMs / 2),
    );
    // Who cannot wait for its turn, or is not known again in it, comes at some time before: not all at once.
    const hasTurn = key !== undefined && turn - now <= mostMs;
    const soonestMs = Math.min(turn - now, mostMs);
    const awayMs = hasTurn ? soonestMs : soonestMs * (0.5 + 0.5 * this.#random());
    // A turn that nobody can keep would only put off those of others.
    if (key !== undefined && !isKept) {
      this.#promisedUntil = Math.min(turn, now + longestAwayMs);
      this.#keepTurn(key, now + awayMs);
    }
    this.#sentAway += 1;
    if (!this.#isTelling) void this.#tell();
    const retryAfterS = Math.max(1, Math.round(awayMs / 1000));
    const perSecond = Math.round(this.pacePerSecond);
    const detail = `${this.#weight} orders are in line at ${perSecond} a second, its turn is in ${retryAfterS} s`;
    return denial('ERR_API_BUSY', detail, { retryAfterS, waiting: this.#weight, perSecond });
  }

  #keepTurn(key: string, turn: number): void {
    const now = this.#options.clock.monotonic();
    this.#turns.delete(key);
    this.#turns.set(key, turn);
    for (const [oldest, at] of this.#turns) {
      if (at >= now - latestMs && this.#turns.size <= mostTurns) return;
      this.#turns.delete(oldest);
    }
  }

  /** Of a storm, a line at its begin and one at the end of each such time; each refusal is in the metrics. */
  async #tell(): Promise<void> {
    const { log, clock } = this.#options;
    this.#isTelling = true;
    while (this.#sentAway > 0) {
      const facts = { waiting: this.#weight, perSecond: Math.round(this.pacePerSecond) };
      log.warn({ ...facts, sentAway: this.#sentAway }, 'more orders than can be worked off');
      this.#sentAway = 0;
      await clock.sleep(toldEveryMs, { ref: false });
    }
    this.#isTelling = false;
  }
}

function leftWhileWaiting(): Denial {
  return denial('ERR_API_BUSY', 'its caller left while it waited');
}
