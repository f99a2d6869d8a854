import { CountersignError, type ErrorCode } from '@countersign/base';
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
  /**
   * Finds out what `check` has to know of a peer, asked once its chain is verified and before it is admitted. Undefined:
   * nothing to wait for. Takes no longer than the source's own bound and never rejects: `check` answers `unknown` for
   * what was not found out.
   */
  prepare?(peer: VerifiedPeer, met: PeerMeeting): Promise<void> | undefined;
  /**
   * Until when what a server showed itself holds, in milliseconds since the epoch: only another handshake brings more.
   * Undefined: nothing that is known of the peer is of that kind.
   */
  shownUntil?(peer: VerifiedPeer): number | undefined;
  /** Whether servers that are dialled should be asked to show an OCSP answer (RFC 6066 §8). Absent: no. */
  readonly asksForStaples?: boolean;
}

/** How a peer was met, and what it showed beside its chain. */
export interface PeerMeeting {
  /** What the peer was in the handshake. */
  readonly purpose: 'client' | 'server';
  /** The OCSP response that a server stapled; proved by nobody yet. */
  readonly staple?: Uint8Array | undefined;
}

export type RevocationStatus =
  | { readonly status: 'good' }
  | {
      readonly status: 'revoked';
      readonly reason: RevocationReason;
      /** By what the revocation names the peer. */
      readonly by:
        | 'serial'
        | 'spiffe-id'
        | 'spiffe-prefix'
        | 'key'
        | 'issuer'
        | 'provisioner'
        | 'token'
        | 'time';
      /** Ledger position of the revocation. Absent where a list or a responder told of it, and not the feed. */
      readonly position?: number;
      /** When it was ordered, in milliseconds since the epoch. */
      readonly at: number;
      /** Who told of it, as a fragment for the operator. Absent: the feed. */
      readonly toldBy?: string;
    }
  /** Not revoked, and not let in: it is not of the kind for which this edge needs no word of its revocation. */
  | {
      readonly status: 'refused';
      readonly code: ErrorCode;
      /** What both sides are, as a fragment for the operator. */
      readonly detail: string;
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
