import type { CoveredFacts, RevocationBy } from './ledger.ts';

/**
 * Whether a revocation covers a certificate: the one rule, for the ledger's refusals, for the authority's own listener and
 * (in the same words) for every edge that follows the feed.
 *
 * By serial it is that certificate. By SPIFFE ID, key or provisioner it is every certificate whose intent stands below
 * the revocation's own position, whether it was signed by then or not.
 */
export function covers(
  revocation: { readonly by: RevocationBy; readonly value: string; readonly position: number },
  certificate: CoveredFacts,
): boolean {
  if (factFor[revocation.by](certificate) !== revocation.value) return false;
  return revocation.by === 'serial' || certificate.position < revocation.position;
}

/** The value of a certificate that a revocation of each kind is compared with; undefined matches none. */
export const factFor: Readonly<
  Record<RevocationBy, (certificate: CoveredFacts) => string | undefined>
> = {
  serial: (certificate) => certificate.serialHex,
  'spiffe-id': (certificate) => certificate.spiffeId,
  key: (certificate) => certificate.spkiHash,
  provisioner: (certificate) => certificate.provisioner,
};
