import type { Log, Meter } from '@countersign/base';
import { type TestClock, testClock } from '@countersign/testkit';
import type { FeedFrame, HelloFrame, LeaseRequest, RevocationFrame } from '@countersign/wire';
import {
  type FollowOptions,
  followRevocations,
  type RevocationFollower,
} from './follow-revocations.ts';

const anchor = 'ab'.repeat(32);

/**
 * Stands in for the authority in tests of the follower's own logic: it serves what a test appends, loses what a test
 * tells it to lose, and writes down leases. The real authority is followed in the tests of `apps/cli`.
 */
export class FeedDouble {
  readonly url = 'https://authority.test';
  readonly leases: LeaseRequest[] = [];
  readonly cursors: number[] = [];
  /** Refuses connections while true. */
  isDown = false;
  isLeaseDown = false;
  hello: Partial<HelloFrame> = {};
  readonly #revocations: RevocationFrame[] = [];
  #push: ((frame: FeedFrame) => void) | undefined;
  #drop: ((reason?: Error) => void) | undefined;

  get head(): number {
    return this.#revocations.at(-1)?.position ?? 0;
  }

  get isConnected(): boolean {
    return this.#push !== undefined;
  }

  get lastLease(): LeaseRequest | undefined {
    return this.leases.at(-1);
  }

  /** Appends to the ledger, and sends it unless `isLost`. */
  revoke(what: Partial<RevocationFrame>, options: { isLost?: boolean } = {}): RevocationFrame {
    const frame: RevocationFrame = {
      type: 'revocation',
      position: this.head + 10,
      previous: this.head,
      by: 'serial',
      value: 'a1',
      reason: 'keyCompromise',
      at: 1_767_225_600_000,
      ...what,
    };
    this.#revocations.push(frame);
    if (options.isLost !== true) this.send(frame);
    return frame;
  }

  /** Sends without appending. */
  send(frame: FeedFrame): void {
    this.#push?.(frame);
  }

  heartbeat(): void {
    this.send({ type: 'heartbeat', position: this.head, at: 1 });
  }

  /** Ends the connection, with an error or without. */
  drop(reason?: Error): void {
    this.#drop?.(reason);
  }

  readonly client: FollowOptions['client'] = {
    url: this.url,
    feed: (query) => this.#feed(query.after, query.signal),
    lease: async (request) => {
      if (this.isDown || this.isLeaseDown) throw new Error('connect ECONNREFUSED');
      this.leases.push(request);
      return { expiresAt: 1, position: this.head };
    },
  };

  async *#feed(after: number, signal: AbortSignal | undefined): AsyncGenerator<FeedFrame, void> {
    if (this.isDown) throw new Error('connect ECONNREFUSED');
    this.cursors.push(after);
    const waiting: FeedFrame[] = [
      {
        type: 'hello',
        trustDomain: 'example.com',
        anchors: [anchor],
        position: this.head,
        heartbeatMs: 1000,
        ...this.hello,
      },
      ...this.#revocations.filter((frame) => frame.position > after),
    ];
    let isOver = false;
    let reason: Error | undefined;
    let wake = () => {};
    this.#push = (frame) => {
      waiting.push(frame);
      wake();
    };
    this.#drop = (why) => {
      isOver = true;
      reason = why;
      wake();
    };
    const drop = this.#drop;
    signal?.addEventListener('abort', () => drop(signal.reason as Error), { once: true });
    try {
      while (true) {
        const frame = waiting.shift();
        if (frame !== undefined) yield frame;
        else if (isOver && reason !== undefined) throw reason;
        else if (isOver) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      this.#push = undefined;
    }
  }
}

/** A peer of the double's authority. */
export function peerOf(what: { serial?: string; spiffeId?: string; anchor?: string } = {}) {
  const serialHex = what.serial ?? 'c3';
  return {
    anchorFingerprint: what.anchor ?? anchor,
    spiffeId: what.spiffeId,
    chain: [
      {
        serial: new Uint8Array(Buffer.from(serialHex, 'hex')),
        serialHex,
        spki: { raw: new Uint8Array([1, 2, 3]) },
      },
      { serial: new Uint8Array([1]), serialHex: '1', spki: { raw: new Uint8Array([4]) } },
    ],
  };
}

export interface Following {
  readonly clock: TestClock;
  readonly feed: FeedDouble;
  readonly follower: RevocationFollower;
  readonly cut: number[][];
  readonly logged: string[];
  readonly metrics: Map<string, number>;
}

export async function following(
  t: { after(f: () => Promise<void>): void },
  options: Partial<FollowOptions> & { feed?: FeedDouble; clock?: TestClock } = {},
): Promise<Following> {
  const clock = options.clock ?? testClock();
  const feed = options.feed ?? new FeedDouble();
  const cut: number[][] = [];
  const logged: string[] = [];
  const metrics = new Map<string, number>();
  const follower = followRevocations({
    client: feed.client,
    clock,
    log: logTo(logged),
    meter: meterTo(metrics),
    random: () => 0.5,
    onApplied: (frames) => {
      cut.push(frames.map((frame) => frame.position));
      return { closed: frames.length, kept: 1, elapsedMs: 2 };
    },
    ...options,
  });
  t.after(() => follower.stop());
  await turn(clock);
  return { clock, feed, follower, cut, logged, metrics };
}

export function setHeartbeats(feed: FeedDouble, clock: TestClock): AbortController {
  const over = new AbortController();
  const beat = async () => {
    while (!over.signal.aborted) {
      feed.heartbeat();
      await clock.sleep(1000, { signal: over.signal }).catch(() => {});
    }
  };
  void beat();
  return over;
}

function logTo(lines: string[]): Log {
  const log: Log = {
    debug: (_, message) => lines.push(`debug ${message}`),
    info: (_, message) => lines.push(`info ${message}`),
    warn: (_, message) => lines.push(`warn ${message}`),
    error: (_, message) => lines.push(`error ${message}`),
    child: () => log,
  };
  return log;
}

function meterTo(values: Map<string, number>): Meter {
  return {
    counter: ({ name }) => ({ add: (by = 1) => values.set(name, (values.get(name) ?? 0) + by) }),
    gauge: ({ name }) => ({ set: (value) => values.set(name, value) }),
    histogram: () => ({ observe: () => {} }),
  };
}

/** Lets everything that is due now happen, whatever it waits for in between. */
export async function turn(clock: TestClock): Promise<void> {
  for (let i = 0; i < 4; i += 1) await clock.advance(0);
}
