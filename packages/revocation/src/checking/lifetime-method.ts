import { formatDuration } from '@countersign/base';
import type { RevocationStatus, VerifiedPeer } from '@countersign/spiffe';
import type { RevocationMethod } from './revocation-method.ts';

const good: RevocationStatus = { status: 'good' };

/**
 * Short-lived certificates instead of revocation: nobody is asked, and a certificate that lasts longer than `maxMs`
 * (from notBefore to notAfter, backdating included) is refused. A stolen key is of use until its certificate ends.
 */
export function lifetimeMethod(maxMs: number): RevocationMethod {
  return {
    name: 'lifetime',
    check({ leaf }: VerifiedPeer): RevocationStatus {
      // RFC 5280 §4.1.2.5: both ends belong to the period
      const lastsMs = leaf.notAfter - leaf.notBefore;
      if (lastsMs <= maxMs) return good;
      const [lasts, most] = [formatDuration(lastsMs), formatDuration(maxMs)];
      const detail = `its certificate lasts ${lasts}, at most ${most} are let in without word of revocation`;
      return { status: 'refused', code: 'ERR_REVOCATION_LIFETIME', detail };
    },
    report: () => ({ maxLifetime: formatDuration(maxMs) }),
  };
}
