import type { VerifiedPeer } from '@countersign/spiffe';
import type { StatusResponse } from '@countersign/wire';

/**
 * Of a status, what a workload is told that is no operator: findings, stores of keys and other gateways are for whoever
 * runs the authority, and show an intruder where to push.
 */
export function ownStatus(status: StatusResponse, peer: VerifiedPeer): StatusResponse {
  const { version, trustDomain, rootFingerprint, intermediates, uptimeMs, ledger } = status;
  const { position, revocationPosition, issued, revoked } = ledger;
  const spiffeId = peer.spiffeId?.toString();
  return {
    ...{ version, trustDomain, rootFingerprint, intermediates, uptimeMs },
    ledger: { position, revocationPosition, issued, revoked },
    gateways: status.gateways.filter((each) => each.spiffeId === spiffeId),
    own: {
      ...(spiffeId !== undefined && { spiffeId }),
      serial: peer.serialHex,
      notAfter: peer.notAfter,
      isWell: (status.findings ?? []).length === 0,
    },
  };
}
