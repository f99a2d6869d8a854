import { join } from 'node:path';
import {
  type Clock,
  CountersignError,
  formatDuration,
  type Log,
  type Meter,
} from '@countersign/base';
import { authorityClient, type LiveSource } from '@countersign/identity';
import {
  followRevocations,
  type JudgedPeer,
  type OpenedRevocation,
  openRevocation,
  type RevocationConfig,
  type RevocationFollower,
  revocationDefaults,
} from '@countersign/revocation';
import type { RevocationStatus, VerifiedPeer } from '@countersign/spiffe';
import type { AuthorityClient, CutCounts } from '@countersign/wire';

export interface EdgeRevocationOptions {
  readonly config: RevocationConfig;
  /** The authority whose feed is followed, where the method is `feed`. */
  readonly url: string | undefined;
  readonly live: LiveSource;
  /** Where what the feed said is kept. */
  readonly data: string | undefined;
  /** Connections that the edge has at most, in one direction. */
  readonly maxPeers: number;
  /** Re-asks the open connections; what it cut is acknowledged to the authority. */
  readonly recheck: () => CutCounts;
  /** How many open connections are with peers of whom this holds; told to the authority before it revokes. */
  readonly countOpen?: (concerns: (peer: JudgedPeer) => boolean) => number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

export interface EdgeRevocation extends OpenedRevocation {
  /** Resolves at once where nothing has to be heard before anybody can be let in. */
  readonly ready: Promise<void>;
  /** Why nobody can be let in as it is, for /healthz; undefined where somebody can. */
  readonly notReady: () => string | undefined;
  /** What is known of the edge's own certificate. */
  readonly checkSelf: (self: VerifiedPeer) => RevocationStatus;
}

/** Starts what an edge goes by: the feed where it is chosen, lists, responders and staples as the file says. */
export function startEdgeRevocation(options: EdgeRevocationOptions): EdgeRevocation {
  const { config, live, maxPeers, clock, log, meter } = options;
  const isFed = config.method.includes('feed');
  const maxSilenceMs = config.maxSilence ?? revocationDefaults.maxSilence;
  const refusal: OwnRefusal = { serial: undefined, at: 0 };
  const follower = isFed ? followFeed(options, refusal) : undefined;
  const opened = openRevocation({
    ...{ config, svids: live, bundles: live, maxPeers, clock, log, meter },
    ...(follower !== undefined && { follower }),
  });
  const askedAbout = askAboutSelf(opened, options);
  log.info({ method: config.method, onUnknown: config.onUnknown }, 'revocation is checked');
  return {
    ...opened,
    ready: follower?.ready ?? Promise.resolve(),
    notReady: () =>
      follower === undefined || config.onUnknown === 'allow'
        ? undefined
        : silenceOf(follower, maxSilenceMs),
    checkSelf(self) {
      const status = askedAbout(self);
      if (status.status === 'revoked' || refusal.serial !== self.serialHex) return status;
      const told = { by: 'serial', reason: 'unspecified', toldBy: 'the authority' } as const;
      return { status: 'revoked', ...told, at: refusal.at };
    },
    async stop() {
      await Promise.all([opened.stop(), follower?.stop()]);
    },
  };
}

function silenceOf(follower: RevocationFollower, maxSilenceMs: number): string | undefined {
  const silentMs = follower.silentMs();
  if (silentMs <= maxSilenceMs) return undefined;
  if (!Number.isFinite(silentMs)) return 'the revocation feed was not heard yet';
  return `the revocation feed is silent for ${formatDuration(silentMs)}`;
}

/**
 * Lists and responders are asked about our own certificate as about a peer's: when it is new, and again at times, for
 * what is known of nobody's connection is not kept fresh. What they do not know is nothing against us.
 */
function askAboutSelf(
  { checks }: OpenedRevocation,
  { recheck, clock }: EdgeRevocationOptions,
): (self: VerifiedPeer) => RevocationStatus {
  let asked: { readonly serialHex: string; readonly at: number } | undefined;
  return function askedAbout(self) {
    const now = clock.monotonic();
    if (asked?.serialHex !== self.serialHex || now - asked.at >= askSelfAgainMs) {
      asked = { serialHex: self.serialHex, at: now };
      // One turn later: whoever asks is amid a question about somebody else.
      checks.prepare(self, { purpose: 'client' })?.then(() => void recheck());
    }
    return checks.look(self);
  };
}

const askSelfAgainMs = 10_000;

/** The own certificate that the authority last refused as revoked. */
interface OwnRefusal {
  serial: string | undefined;
  at: number;
}

function followFeed(options: EdgeRevocationOptions, refusal: OwnRefusal): RevocationFollower {
  const { config, url, live, data, recheck, countOpen, clock, log, meter } = options;
  if (url === undefined) {
    throw new CountersignError('ERR_USAGE', 'revocation by feed, and no authority is named');
  }
  const client = authorityClient({
    ...{ url, clock, svids: live, bundles: live },
    trustDomain: live.svid().spiffeId.trustDomain,
  });
  // The authority cuts whom it revokes, perhaps before the feed has said so: its refusal says the same.
  async function* feed(...query: Parameters<AuthorityClient['feed']>) {
    const { serialHex } = live.svid();
    try {
      yield* client.feed(...query);
    } catch (thrown) {
      if (isRevokedSelf(thrown) && refusal.serial !== serialHex) {
        Object.assign(refusal, { serial: serialHex, at: clock.now() });
        recheck();
      }
      throw thrown;
    }
  }
  return followRevocations({
    client: { url: client.url, lease: client.lease.bind(client), feed },
    maxSilenceMs: config.maxSilence ?? revocationDefaults.maxSilence,
    onApplied: recheck,
    ...(countOpen !== undefined && { countOpen }),
    ...(data !== undefined && { statePath: join(data, 'revocations.ndjson') }),
    ...{ clock, log, meter },
  });
}

function isRevokedSelf(thrown: unknown): boolean {
  return thrown instanceof CountersignError && thrown.code === 'ERR_API_CERTIFICATE_REVOKED';
}
