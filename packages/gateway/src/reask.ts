import {
  type AuthzQuestion,
  authorize,
  compileRules,
  type Permit,
  type RuleSet,
} from '@countersign/authz';
import type { Clock } from '@countersign/base';
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
  readonly unknownRevocation: AuthzQuestion['unknownRevocation'];
  readonly clock: Clock;
}

export type RequestFacts = Pick<InFlight, 'method' | 'path'>;

/** May this peer hold a connection (without `request`), or make this request? The same question admits and cuts. */
export function ask(facts: Facts, peer: PeerOf, request?: RequestFacts) {
  return authorize(facts.rules(), questionOf(facts, peer, request));
}

/** May this upstream be talked to? Its identity is the route's matter: only expiry and revocation are asked here. */
export function askUpstream(facts: Facts, peer: VerifiedPeer): StillAllowed {
  return authorize(noRules, questionOf(facts, peer));
}

/**
 * The question of a re-ask over client connections: is the chain still anchored, may the peer still connect, and is
 * every request on its way still permitted? Expiry is not judged here but by the expiry watch, with its grace.
 */
export function reaskClient(
  facts: Facts,
  sessionOf: (connection: LiveConnection) => Session | undefined,
): (connection: LiveConnection) => StillAllowed {
  const at = facts.clock.now();
  const anchored = stillAnchored({ bundles: facts.bundles, at, purpose: 'client' });
  return function isStillAllowed(connection) {
    const anchor = anchored(connection.peer);
    if (!anchor.ok) return anchor;
    const answer = leavingExpiry(ask(facts, connection.peer));
    if (!answer.ok) return answer;
    for (const request of sessionOf(connection)?.inFlight ?? []) {
      const again = leavingExpiry(ask(facts, connection.peer, request));
      if (!again.ok) return again;
    }
    return { ok: true };
  };
}

/** The same for connections to upstreams. */
export function reaskUpstream(facts: Facts): (connection: LiveConnection) => StillAllowed {
  const at = facts.clock.now();
  const anchored = stillAnchored({ bundles: facts.bundles, at, purpose: 'server' });
  return function isStillAllowed({ peer }) {
    const anchor = anchored(peer);
    if (!anchor.ok || isAnonymous(peer)) return anchor;
    return leavingExpiry(askUpstream(facts, peer));
  };
}

function leavingExpiry(answer: StillAllowed | Permit): StillAllowed {
  return !answer.ok && answer.code === 'ERR_PEER_EXPIRED' ? { ok: true } : answer;
}

function questionOf(facts: Facts, peer: PeerOf, request?: RequestFacts): AuthzQuestion {
  const revocation: RevocationStatus = isAnonymous(peer)
    ? { status: 'good' }
    : facts.revocation.check(peer);
  const question: AuthzQuestion = {
    peer,
    revocation,
    at: facts.clock.now(),
    unknownRevocation: facts.unknownRevocation,
  };
  if (request === undefined) return question;
  return { ...question, request: { method: request.method, path: request.path } };
}

const noRules = compileRules([]);
