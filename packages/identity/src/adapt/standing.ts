import { type Denial, denial } from '@countersign/base';
import type { RevocationSource, RevocationStatus, VerifiedPeer } from '@countersign/spiffe';

export const goodStanding: RevocationStatus = { status: 'good' };

/** Why a peer that was verified once is no longer to be dealt with; undefined where it is. */
export function wrongWithStanding(
  peer: VerifiedPeer,
  standing: RevocationStatus,
  at: number,
): Denial | undefined {
  if (peer.hasEnded(at)) return denial('ERR_PEER_EXPIRED', 'its certificate has ended');
  if (standing.status === 'good') return undefined;
  if (standing.status === 'refused') return denial(standing.code, standing.detail);
  if (standing.status === 'unknown') return denial('ERR_REVOCATION_UNKNOWN', standing.detail);
  return denial('ERR_PEER_REVOKED', `revoked: ${standing.reason}`, { reason: standing.reason });
}

export function standingOf(
  peer: VerifiedPeer,
  revocation: RevocationSource | undefined,
): RevocationStatus {
  return revocation?.check(peer) ?? goodStanding;
}
