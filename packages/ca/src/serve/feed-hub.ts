import {
  type Clock,
  counted,
  type Denial,
  denial,
  type Gauge,
  type Log,
  type Meter,
} from '@countersign/base';
import { feedDialect } from '@countersign/wire';
import type { Ledger } from '../ledger/ledger.ts';
import { Bell } from './bell.ts';
import { type FeedCursor, type FeedPage, readFeedPage } from './feed-pages.ts';
import { FeedQuestions } from './feed-questions.ts';

export interface FeedLimits {
  /** A heartbeat is sent when nothing else was for this long. Default 5000. */
  readonly heartbeatMs?: number;
  /** Streams at once. Default 4096. */
  readonly maxStreams?: number;
  /** Streams of one identity at once; `api.feedStreams` of ca.yaml unless given. */
  readonly maxStreamsEach?: number;
  /** A reader that takes nothing for this long is dropped. Default 10,000. */
  readonly slowReaderMs?: number;
}

/** A place among the bounded number of streams. */
export interface FeedSeat {
  readonly ok: true;
  readonly holder: string;
  readonly instance: string;
  readonly signal: AbortSignal;
  /** What the reader understands: see `feedDialect`. */
  readonly dialect: number;
  leave(): void;
}

/** Who is refused a seat comes again when the streams of who went away were found dead. */
const retryAfterS = 10;

/** Readers stand at the head or a little behind it; who asks for any position it likes does not fill the memory. */
const mostPages = 64;

/**
 * What all feed streams share: the wake-up at each commit, pages read once for everybody who stands at the same cursor,
 * and the number of seats. The frames come from the ledger and from nowhere else.
 */
export class FeedHub {
  readonly commits = new Bell();
  readonly questions = new FeedQuestions();
  readonly clock: Clock;
  readonly log: Log;
  readonly heartbeatMs: number;
  readonly slowReaderMs: number;
  readonly #ledger: Ledger;
  readonly #maxStreams: number;
  readonly #maxStreamsEach: () => number;
  readonly #seats = new Map<string, Seated>();
  readonly #seatsOf = new Map<string, number>();
  readonly #open: Gauge;
  readonly #unsubscribe: () => void;
  #pages = new Map<string, Promise<FeedPage>>();
  #closed = false;

  constructor(options: {
    readonly ledger: Ledger;
    readonly clock: Clock;
    readonly log: Log;
    readonly meter: Meter;
    readonly limits?: FeedLimits | undefined;
    /** Asked for each stream: a new configuration counts at once. */
    readonly streamsEach?: () => number;
  }) {
    const { limits = {} } = options;
    this.#ledger = options.ledger;
    this.clock = options.clock;
    this.log = options.log;
    this.heartbeatMs = limits.heartbeatMs ?? 5000;
    this.slowReaderMs = limits.slowReaderMs ?? 10_000;
    this.#maxStreams = limits.maxStreams ?? 4096;
    this.#maxStreamsEach = options.streamsEach ?? (() => limits.maxStreamsEach ?? 16);
    this.#open = options.meter.gauge({
      name: 'countersign_feed_streams',
      help: 'Open streams of the revocation feed.',
    });
    this.#open.set(0);
    this.#unsubscribe = options.ledger.onCommit(() => {
      this.#pages = new Map();
      this.commits.ring();
    });
  }

  /**
   * A seat for one stream. The same instance of the same holder connecting again ends its earlier stream, which is most
   * likely a dead connection.
   *
   * Denials: ERR_API_FEED_LIMIT, ERR_API_CLOSING.
   */
  sit(holder: string, instance: string, dialect = 1): FeedSeat | Denial {
    if (this.#closed) return denial('ERR_API_CLOSING', 'the authority is shutting down');
    const key = `${holder}\n${instance}`;
    this.#seats.get(key)?.end.abort();
    const held = this.#seatsOf.get(holder) ?? 0;
    const each = this.#maxStreamsEach();
    if (this.#seats.size >= this.#maxStreams || held >= each) {
      const found = `${counted(held, 'stream')} of "${holder}" and ${this.#seats.size} in all are open`;
      const sides = `${found}, at most ${each} (api.feedStreams) and ${this.#maxStreams}`;
      return denial('ERR_API_FEED_LIMIT', sides, { retryAfterS });
    }
    const end = new AbortController();
    this.#seats.set(key, { dialect, end });
    this.#count(holder, 1);
    end.signal.addEventListener('abort', () => {
      if (this.#seats.get(key)?.end === end) this.#seats.delete(key);
      this.#count(holder, -1);
    });
    const { signal } = end;
    return { ok: true, holder, instance, signal, dialect, leave: () => end.abort() };
  }

  /** What a follower here understands; undefined where it does not follow here now. */
  dialectOf(holder: string, instance: string): number | undefined {
    return this.#seats.get(`${holder}\n${instance}`)?.dialect;
  }

  /** The frames after `cursor`, at most a page. */
  page(cursor: FeedCursor, dialect = feedDialect): Promise<FeedPage> {
    const { position, told } = cursor;
    const key = `${position} ${told} ${dialect < feedDialect ? 1 : feedDialect}`;
    const held = this.#pages.get(key);
    if (held !== undefined) return held;
    const page = readFeedPage(this.#ledger, cursor, dialect);
    this.#pages.set(key, page);
    const [oldest] = this.#pages.keys();
    if (this.#pages.size > mostPages && oldest !== undefined) this.#pages.delete(oldest);
    // A failure is not remembered for the next reader.
    page.catch(() => this.#pages.delete(key));
    return page;
  }

  /** Why nobody can say now what was revoked; undefined while the ledger answers. */
  get unwell(): Denial | undefined {
    const { failure } = this.#ledger;
    return failure === undefined ? undefined : denial(failure.code, failure.message);
  }

  /** Ends every stream: who comes again is greeted with what is in force by then. */
  restart(): void {
    for (const { end } of [...this.#seats.values()]) end.abort();
  }

  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    this.restart();
  }

  #count(holder: string, change: 1 | -1): void {
    const held = (this.#seatsOf.get(holder) ?? 0) + change;
    if (held === 0) this.#seatsOf.delete(holder);
    else this.#seatsOf.set(holder, held);
    this.#open.set([...this.#seatsOf.values()].reduce((sum, each) => sum + each, 0));
  }
}

interface Seated {
  readonly dialect: number;
  readonly end: AbortController;
}
