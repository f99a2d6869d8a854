import type { BundleSource, Changes, SvidSource } from '@countersign/spiffe';

/**
 * An identity that stays fresh, whoever keeps it so: a rotation, an agent, a provider in this process. What the adapters
 * ask, at each handshake.
 */
export type LiveSource = SvidSource & BundleSource & Changes;

export function ownTrustDomain(source: LiveSource): string {
  return source.svid().spiffeId.trustDomain;
}
