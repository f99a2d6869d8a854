import { denial } from '@countersign/base';
import { type BundleSource, type VerifiedPeer, verifyPeer } from '@countersign/spiffe';
import { fingerprintOf, SignatureCache } from '@countersign/x509';
import { isAnonymous, type PeerOf } from './live-connection.ts';
import type { StillAllowed } from './live-connections.ts';

export interface AnchorQuestion {
  readonly bundles: BundleSource;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** What the peer was in the handshake. */
  readonly purpose: 'client' | 'server';
  readonly profile?: 'svid' | 'any';
}

/**
 * Whether peers that were verified once are still vouched for by the bundles as they are now; for one re-ask of many
 * connections, since it remembers its answers. A peer whose anchor is gone may still have a path to another one.
 */
export function stillAnchored(question: AnchorQuestion): (peer: PeerOf) => StillAllowed {
  const anchorsOf = new Map<string, ReadonlySet<string>>();
  const answers = new Map<string, StillAllowed>();
  return function isStillAnchored(peer) {
    if (isAnonymous(peer)) return { ok: true };
    const domain = peer.spiffeId?.trustDomain ?? '';
    const anchors = anchorsOf.get(domain) ?? anchorPrints(question.bundles, domain);
    anchorsOf.set(domain, anchors);
    if (anchors.has(peer.anchorFingerprint)) return { ok: true };
    const answer = answers.get(peer.fingerprint) ?? verifyAgain(question, peer);
    answers.set(peer.fingerprint, answer);
    return answer;
  };
}

function anchorPrints(bundles: BundleSource, trustDomain: string): ReadonlySet<string> {
  const authorities =
    trustDomain === ''
      ? (bundles.authorities?.() ?? [])
      : (bundles.bundle(trustDomain)?.authorities ?? []);
  return new Set(authorities.map(fingerprintOf));
}

/** What was found to be signed by a key stays so: after a change of roots every connection is asked about at once. */
const signatures = new SignatureCache();

function verifyAgain(question: AnchorQuestion, peer: VerifiedPeer): StillAllowed {
  // Its expiry is for the caller to judge, who may give a response in flight its grace; so not later than that.
  const at = Math.min(question.at, peer.notAfter);
  const again = verifyPeer({ ...question, at, chain: peer.chain, signatures });
  if (again.ok) return { ok: true };
  return denial(
    'ERR_PEER_ANCHOR_GONE',
    `anchor ${peer.anchorFingerprint} is no longer in force: ${again.detail}`,
    { anchor: peer.anchorFingerprint, reason: again.code },
  );
}
