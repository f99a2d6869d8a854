import type { Clock, Counter, Gauge, Histogram, Log, Meter } from '@countersign/base';
import type { VerifiedPeer } from '@countersign/spiffe';
import { fingerprintOf } from '@countersign/x509';
import type { Authority } from '../authority.ts';
import { ProvisionerDesk } from '../provisioners/provisioner-desk.ts';
import type { RunningParts } from '../status/served-status.ts';
import { Bell } from './bell.ts';
import type { RevokedPeerCutter } from './cut-revoked-peers.ts';
import { type FeedHub, type FeedLimits, FeedHub as Hub } from './feed-hub.ts';
import { GuessLimiter, type GuessLimits } from './guess-limiter.ts';
import { IssueQueue, type QueueLimits } from './issue-queue.ts';

/** What every request handler works with. */
export interface ApiContext {
  readonly authority: Authority;
  readonly clock: Clock;
  readonly log: Log;
  readonly feed: FeedHub;
  /** Rings whenever a lease was held or released. */
  readonly leases: Bell;
  readonly guesses: GuessLimiter;
  /** Orders of certificates, so that more of them than can be issued do not keep each other from being answered. */
  readonly queue: IssueQueue;
  /** For tokens of other issuers. */
  readonly provisioners: ProvisionerDesk;
  /** How long a revocation waits for acknowledgements unless the request says otherwise. */
  readonly waitMs: number;
  readonly version: string;
  readonly startedAt: number;
  /** SHA-256 of each root, lowercase hex. */
  readonly anchors: () => readonly string[];
  readonly isAdmin: (peer: VerifiedPeer) => boolean;
  readonly closing: () => boolean;
  readonly cutter: () => RevokedPeerCutter | undefined;
  readonly running: () => RunningParts;
  readonly requests: Counter;
  readonly requestSeconds: Histogram;
  readonly liveLeases: Gauge;
}

export interface ApiContextOptions {
  readonly authority: Authority;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly waitMs: number;
  readonly version: string;
  readonly feed?: FeedLimits | undefined;
  readonly guesses?: GuessLimits | undefined;
  readonly queue?: QueueLimits | undefined;
  readonly closing: () => boolean;
  readonly cutter: () => RevokedPeerCutter | undefined;
  readonly running: () => RunningParts;
}

export function apiContext(options: ApiContextOptions): ApiContext {
  const { authority, clock, log, meter } = options;
  return {
    authority,
    clock,
    log,
    feed: new Hub({
      ...{ ledger: authority.ledger, clock, log, meter, limits: options.feed },
      streamsEach: () => options.feed?.maxStreamsEach ?? authority.config.api.feedStreams,
    }),
    leases: new Bell(),
    guesses: new GuessLimiter(clock, options.guesses),
    queue: new IssueQueue({ limits: options.queue, clock, log, meter }),
    provisioners: new ProvisionerDesk(authority, clock),
    waitMs: options.waitMs,
    version: options.version,
    startedAt: clock.monotonic(),
    anchors: () => authority.bundle().authorities.map(fingerprintOf),
    isAdmin: ({ spiffeId }) =>
      spiffeId !== undefined && authority.config.api.admins.includes(spiffeId.toString()),
    closing: options.closing,
    cutter: options.cutter,
    running: options.running,
    ...instruments(meter),
  };
}

function instruments(meter: Meter) {
  return {
    requests: meter.counter({
      name: 'countersign_api_requests_total',
      help: 'Requests to the authority API by route and result: ok, left, or the code of the refusal.',
      labels: ['route', 'result'],
    }),
    requestSeconds: meter.histogram({
      name: 'countersign_api_request_seconds',
      help: 'Time from a request head to its answer; a revocation waits for acknowledgements.',
      labels: ['route'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    }),
    liveLeases: meter.gauge({
      name: 'countersign_leases',
      help: 'Gateways that hold a live lease.',
    }),
  };
}
