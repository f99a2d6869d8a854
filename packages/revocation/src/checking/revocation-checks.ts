import type { Clock, Histogram, Log, Meter } from '@countersign/base';
import type {
  Changes,
  PeerMeeting,
  RevocationSource,
  RevocationStatus,
  VerifiedPeer,
} from '@countersign/spiffe';
import { FailOpenWatch } from './fail-open-watch.ts';
import type { RevocationMethod } from './revocation-method.ts';

export interface RevocationChecksOptions {
  /** At least one. */
  readonly methods: readonly RevocationMethod[];
  /** What becomes of a peer of whom nobody knows. The asker decides by it; here it is told of, loudly. */
  readonly onUnknown: 'refuse' | 'allow';
  /** How long an admission waits for what is not known yet. */
  readonly waitMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

/** What an edge goes by, for its status page. */
export interface RevocationReport {
  readonly methods: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly onUnknown: 'refuse' | 'allow';
  /** Present where peers of unknown revocation are let in. */
  readonly failedOpen?: Readonly<Record<string, unknown>>;
}

/** From the strictest to the mildest. */
const ranks: Readonly<Record<RevocationStatus['status'], number>> = {
  revoked: 0,
  refused: 1,
  unknown: 2,
  good: 3,
};

const good: RevocationStatus = { status: 'good' };

/** Several methods as one source: the strictest answer counts, and an admission waits for all of them together. */
export class RevocationChecks implements RevocationSource, Changes {
  readonly asksForStaples: boolean;
  readonly #options: RevocationChecksOptions;
  readonly #failOpen: FailOpenWatch | undefined;
  readonly #waited: Histogram;

  constructor(options: RevocationChecksOptions) {
    this.#options = options;
    this.asksForStaples = options.methods.some(({ name }) => name === 'staple');
    this.#failOpen = options.onUnknown === 'allow' ? new FailOpenWatch(options) : undefined;
    this.#waited = options.meter.histogram({
      name: 'countersign_revocation_wait_seconds',
      help: 'How long admissions waited for what was not known of a peer yet.',
      buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    });
  }

  check(peer: VerifiedPeer): RevocationStatus {
    const status = this.look(peer);
    if (status.status === 'unknown') this.#failOpen?.letIn(peer, status.detail);
    return status;
  }

  /** As {@link check}, of somebody who is not going to be let in. */
  look(peer: VerifiedPeer): RevocationStatus {
    let strictest = good;
    for (const method of this.#options.methods) {
      const status = method.check(peer);
      if (ranks[status.status] < ranks[strictest.status]) strictest = status;
    }
    return strictest;
  }

  prepare(peer: VerifiedPeer, met: PeerMeeting): Promise<void> | undefined {
    const pending = this.#options.methods
      .map((method) => method.prepare?.(peer, met))
      .filter((each) => each !== undefined);
    return pending.length === 0 ? undefined : this.#waitFor(pending);
  }

  shownUntil(peer: VerifiedPeer): number | undefined {
    const ends = this.#options.methods
      .map((method) => method.shownUntil?.(peer))
      .filter((end) => end !== undefined);
    return ends.length === 0 ? undefined : Math.min(...ends);
  }

  onChange(listener: () => void): () => void {
    const ends = this.#options.methods.map((method) => method.onChange?.(listener));
    return () => {
      for (const end of ends) end?.();
    };
  }

  report(): RevocationReport {
    const { methods, onUnknown } = this.#options;
    const failedOpen = this.#failOpen?.report();
    return {
      methods: Object.fromEntries(methods.map((method) => [method.name, method.report()])),
      onUnknown,
      ...(failedOpen !== undefined && { failedOpen }),
    };
  }

  async stop(): Promise<void> {
    await Promise.all(this.#options.methods.map((method) => method.stop?.()));
  }

  async #waitFor(pending: readonly Promise<void>[]): Promise<void> {
    const { clock, log, waitMs } = this.#options;
    const startedAt = clock.monotonic();
    const over = new AbortController();
    const bound = clock.sleep(waitMs, { signal: over.signal, ref: false }).catch(() => {});
    await Promise.race([Promise.allSettled(pending), bound]);
    over.abort();
    const took = clock.monotonic() - startedAt;
    this.#waited.observe(took / 1000);
    if (took >= waitMs) log.debug({ waitMs }, 'revocation was not found out in time for admission');
  }
}
