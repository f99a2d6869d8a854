import { formatDuration } from '@countersign/base';
import type { RevocationFollower } from '../follow-revocations.ts';
import type { RevocationMethod } from './revocation-method.ts';

/** Revocation by the authority's own feed. The follower's life is its owner's: it is not stopped here. */
export function feedMethod(follower: RevocationFollower, maxSilenceMs: number): RevocationMethod {
  return {
    name: 'feed',
    check: (peer) => follower.check(peer),
    onChange: (listener) => follower.onChange(listener),
    report() {
      const silentMs = follower.silentMs();
      return {
        position: follower.position,
        silentFor: Number.isFinite(silentMs) ? formatDuration(silentMs) : 'ever',
        maxSilence: formatDuration(maxSilenceMs),
      };
    },
  };
}
