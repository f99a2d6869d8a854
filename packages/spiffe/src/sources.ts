import { CountersignError } from '@countersign/base';
import type { Certificate, RevocationReason } from '@countersign/x509';
import type { TrustBundle } from './trust-bundle.ts';
import type { VerifiedPeer } from './verified-peer.ts';
import type { X509Svid } from './x509-svid.ts';

/** Whose certificate to present. Asked at each handshake, never cached by the asker. */
export interface SvidSource {
  /** @throws CountersignError ERR_SVID_NONE when there is none */
  svid(): X509Svid;
}

/** Whom to trust. Asked at each verification, never cached by the asker. */
export interface BundleSource {
  bundle(trustDomain: string): TrustBundle | undefined;
  /**
   * The authorities that may vouch for a peer without a SPIFFE ID (profile `any` of `verifyPeer`).
   * A source without this method vouches for SPIFFE IDs alone.
   */
  authorities?(): readonly Certificate[];
}

/** What is no longer trusted. Asked for each question to `authorize`, never cached by the asker. */
export interface RevocationSource {
  check(peer: VerifiedPeer): RevocationStatus;
}

export type RevocationStatus =
  | { readonly status: 'good' }
  | {
      readonly status: 'revoked';
      readonly reason: RevocationReason;
      /** By what the revocation names the peer. */
      readonly by: 'serial' | 'spiffe-id' | 'key' | 'provisioner';
      /** Ledger position of the revocation. */
      readonly position: number;
      /** When it was ordered, in milliseconds since the epoch. */
      readonly at: number;
    }
  | {
      readonly status: 'unknown';
      /** Why nobody knows, as a fragment for the operator. */
      readonly detail: string;
    };

/** The source that always presents `svid`. */
export function staticSvid(svid: X509Svid): SvidSource {
  return { svid: () => svid };
}

/**
 * The source of these bundles, one a trust domain. With profile `any`, each of their authorities also vouches for
 * names that are no SPIFFE IDs.
 *
 * @throws CountersignError ERR_BUNDLE_DUPLICATE for two of the same trust domain
 */
export function staticBundles(...bundles: readonly TrustBundle[]): BundleSource {
  const byDomain = new Map<string, TrustBundle>();
  for (const bundle of bundles) {
    if (byDomain.has(bundle.trustDomain)) {
      throw new CountersignError(
        'ERR_BUNDLE_DUPLICATE',
        `two trust bundles for the trust domain "${bundle.trustDomain}"`,
        { fields: { trustDomain: bundle.trustDomain } },
      );
    }
    byDomain.set(bundle.trustDomain, bundle);
  }
  const authorities = bundles.flatMap((bundle) => bundle.authorities);
  return {
    bundle: (trustDomain) => byDomain.get(trustDomain),
    authorities: () => authorities,
  };
}

const good: RevocationStatus = { status: 'good' };

/** For where revocation is out of the question, such as certificates that end before anybody could hear of it. */
export const neverRevoked: RevocationSource = { check: () => good };
