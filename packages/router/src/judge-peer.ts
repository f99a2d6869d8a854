import { type Denial, denial } from '@countersign/base';
import { isAnonymous, type PeerOf, type StillAllowed } from '@countersign/mtls';
import type { RevocationSource, VerifiedPeer } from '@countersign/spiffe';

/**
 * Whether a verified peer may be talked to now: its certificate has not ended and is not revoked. Pure; it admits
 * connections, in both directions, and cuts them when it is asked again.
 */
export function judgePeer(peer: PeerOf, revocation: RevocationSource, at: number): StillAllowed {
  if (isAnonymous(peer)) return { ok: true };
  if (peer.hasEnded(at)) {
    const ended = new Date(peer.notAfter).toISOString();
    return refuse(peer, 'ERR_PEER_EXPIRED', `expired at ${ended}`);
  }
  const status = revocation.check(peer);
  switch (status.status) {
    case 'good':
      return { ok: true };
    case 'revoked':
      return refuse(peer, 'ERR_PEER_REVOKED', `is revoked by ${status.by} for ${status.reason}`);
    case 'refused':
      return refuse(peer, status.code, status.detail);
    case 'unknown':
      return refuse(peer, 'ERR_REVOCATION_UNKNOWN', `may be revoked: ${status.detail}`);
  }
}

function refuse(peer: VerifiedPeer, code: Denial['code'], what: string): Denial {
  const name = peer.spiffeId?.toString() ?? `serial ${peer.serialHex}`;
  return denial(code, `peer "${name}" ${what}`, { spiffeId: name, serial: peer.serialHex });
}
