import { type AuthzQuestion, authorize, compileRules, type RuleSet } from '@countersign/authz';
import type { Clock, Denial } from '@countersign/base';
import {
  isAnonymous,
  type LiveConnection,
  type PeerOf,
  type StillAllowed,
  stillAnchored,
} from '@countersign/mtls';
import type {
  BundleSource,
  RevocationSource,
  RevocationStatus,
  VerifiedPeer,
} from '@countersign/spiffe';
import type { InFlight, Session } from './session.ts';

/** Who may do what, as it is now. */
export interface Facts {
  /** The rules in force; asked at each question. */
  readonly rules: () => RuleSet;
  readonly revocation: RevocationSource;
  readonly bundles: BundleSource;
  /** What is against everybody, as it is now: our own certificate is revoked. */
  readonly ownRefusal: () => Denial | undefined;
  /** What is against a peer beside rules and revocation: its certificate is not in the issuance log. */
  readonly unlogged?: ((peer: VerifiedPeer) => Denial | undefined) | undefined;
  readonly unknownRevocation: AuthzQuestion['unknownRevocation'];
  readonly clock: Clock;
}

export type RequestFacts = Pick<InFlight, 'method' | 'path'>;

/** May this peer hold a connection (without `request`), or make this request? The same question admits and cuts. */
export function ask(facts: Facts, peer: PeerOf, request?: RequestFacts) {
  const refusal = facts.ownRefusal() ?? wrongWithIssue(facts, peer);
  return refusal ?? authorize(facts.rules(), questionOf(facts, peer, facts.clock.now(), request));
}

/** May this upstream be talked to? Its identity is the route's matter: only expiry and revocation are asked here. */
export function askUpstream(facts: Facts, peer: VerifiedPeer): StillAllowed {
  const refusal = facts.ownRefusal() ?? wrongWithIssue(facts, peer);
  return refusal ?? authorize(noRules, questionOf(facts, peer, facts.clock.now()));
}

/**
 * The question of a re-ask over client connections: is the chain still anchored, may the peer still connect, and is
 * every request on its way still permitted? Expiry is not judged here but by the expiry watch, with its grace: so a
 * peer whose certificate has ended is asked about as of its end, and whatever else is against it still cuts it.
 */
export function reaskClient(
  facts: Facts,
  sessionOf: (connection: LiveConnection) => Session | undefined,
): (connection: LiveConnection) => StillAllowed {
  const refusal = facts.ownRefusal();
  if (refusal !== undefined) return () => refusal;
  const at = facts.clock.now();
  const anchored = stillAnchored({ bundles: facts.bundles, at, purpose: 'client' });
  return function isStillAllowed(connection) {
    const { peer } = connection;
    const anchor = anchored(peer);
    if (!anchor.ok) return anchor;
    const unlogged = wrongWithIssue(facts, peer);
    if (unlogged !== undefined) return unlogged;
    const then = withinLife(peer, at);
    const answer = authorize(facts.rules(), questionOf(facts, peer, then));
    if (!answer.ok) return answer;
    for (const request of sessionOf(connection)?.inFlight ?? []) {
      const again = authorize(facts.rules(), questionOf(facts, peer, then, request));
      if (!again.ok) return again;
    }
    return { ok: true };
  };
}

/** The same for connections to upstreams. */
export function reaskUpstream(facts: Facts): (connection: LiveConnection) => StillAllowed {
  const refusal = facts.ownRefusal();
  if (refusal !== undefined) return () => refusal;
  const at = facts.clock.now();
  const anchored = stillAnchored({ bundles: facts.bundles, at, purpose: 'server' });
  return function isStillAllowed({ peer }) {
    const anchor = anchored(peer);
    if (!anchor.ok || isAnonymous(peer)) return anchor;
    const unlogged = wrongWithIssue(facts, peer);
    if (unlogged !== undefined) return unlogged;
    const answer = authorize(noRules, questionOf(facts, peer, withinLife(peer, at)));
    return answer.ok ? { ok: true } : answer;
  };
}

function wrongWithIssue({ unlogged }: Facts, peer: PeerOf): Denial | undefined {
  return unlogged === undefined || isAnonymous(peer) ? undefined : unlogged(peer);
}

function withinLife(peer: PeerOf, at: number): number {
  return isAnonymous(peer) ? at : Math.min(at, peer.notAfter);
}

function questionOf(facts: Facts, peer: PeerOf, at: number, request?: RequestFacts): AuthzQuestion {
  const revocation: RevocationStatus = isAnonymous(peer)
    ? { status: 'good' }
    : facts.revocation.check(peer);
  const question: AuthzQuestion = {
    peer,
    revocation,
    at,
    unknownRevocation: facts.unknownRevocation,
  };
  if (request === undefined) return question;
  return { ...question, request: { method: request.method, path: request.path } };
}

const noRules = compileRules([]);
