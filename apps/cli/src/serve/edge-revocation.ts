import { join } from 'node:path';
import type { Clock, Log, Meter } from '@countersign/base';
import { authorityClient, type RotatingIdentity } from '@countersign/identity';
import {
  followRevocations,
  type OpenedRevocation,
  openRevocation,
  type RevocationConfig,
  type RevocationFollower,
  revocationDefaults,
} from '@countersign/revocation';
import type { CutCounts } from '@countersign/wire';

export interface EdgeRevocationOptions {
  readonly config: RevocationConfig;
  /** The authority whose feed is followed, where the method is `feed`. */
  readonly url: string;
  readonly live: RotatingIdentity;
  /** Where what the feed said is kept. */
  readonly data: string | undefined;
  /** Connections that the edge has at most, in one direction. */
  readonly maxPeers: number;
  /** Re-asks the open connections; what it cut is acknowledged to the authority. */
  readonly recheck: () => CutCounts;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

export interface EdgeRevocation extends OpenedRevocation {
  /** Resolves at once where nothing has to be heard before anybody can be let in. */
  readonly ready: Promise<void>;
}

/** Starts what an edge goes by: the feed where it is chosen, lists, responders and staples as the file says. */
export function startEdgeRevocation(options: EdgeRevocationOptions): EdgeRevocation {
  const { config, live, maxPeers, clock, log, meter } = options;
  const isFed = config.method.includes('feed');
  const follower = isFed ? followFeed(options) : undefined;
  const opened = openRevocation({
    ...{ config, svids: live, bundles: live, maxPeers, clock, log, meter },
    ...(follower !== undefined && { follower }),
  });
  log.info({ method: config.method, onUnknown: config.onUnknown }, 'revocation is checked');
  return {
    ...opened,
    ready: follower?.ready ?? Promise.resolve(),
    async stop() {
      await Promise.all([opened.stop(), follower?.stop()]);
    },
  };
}

function followFeed(options: EdgeRevocationOptions): RevocationFollower {
  const { config, url, live, data, recheck, clock, log, meter } = options;
  return followRevocations({
    client: authorityClient({
      ...{ url, clock, svids: live, bundles: live },
      trustDomain: live.svid().spiffeId.trustDomain,
    }),
    maxSilenceMs: config.maxSilence ?? revocationDefaults.maxSilence,
    onApplied: recheck,
    ...(data !== undefined && { statePath: join(data, 'revocations.ndjson') }),
    ...{ clock, log, meter },
  });
}
