import {
  type AuthzConnection,
  type AuthzQuestion,
  type AuthzRequest,
  authorize,
  compileRules,
  type ExternalAuthorizer,
  hasObservers,
  type Observation,
  observe,
  type RoleMapping,
  type RuleSet,
} from '@countersign/authz';
import type { Clock, Denial } from '@countersign/base';
import {
  type HandshakeFacts,
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
import type { Session } from './session.ts';
import type { TokenDesk } from './tokens/token-desk.ts';

/** Who vouches for peers that were met at one place, and who says that they are revoked. */
export interface Trust {
  readonly bundles: BundleSource;
  readonly revocation: RevocationSource;
  /** As in `verifyPeer`. */
  readonly profile: 'svid' | 'any';
}

/** Who may do what, as it is now. */
export interface Facts {
  /** The rules in force; asked at each question. */
  readonly rules: () => RuleSet;
  readonly revocation: RevocationSource;
  readonly bundles: BundleSource;
  /** What identities are beside their names, in force now. */
  readonly roles?: () => RoleMapping | undefined;
  /** Whom CUSTOM policies ask about requests, by the name of the provider. */
  readonly authorizers?: () => ReadonlyMap<string, ExternalAuthorizer>;
  /** Whose requests are by their tokens; absent: none are looked for. */
  readonly tokens?: TokenDesk;
  /** What is against everybody, as it is now: our own certificate is revoked. */
  readonly ownRefusal: () => Denial | undefined;
  /** What is against a peer beside rules and revocation: its certificate is not in the issuance log. */
  readonly unlogged?: ((peer: VerifiedPeer) => Denial | undefined) | undefined;
  readonly unknownRevocation: AuthzQuestion['unknownRevocation'];
  readonly clock: Clock;
}

/** Who asks, and over what. */
export interface Asker {
  readonly peer: PeerOf;
  readonly connection: AuthzConnection;
  /** `tcp`: bytes are passed through that nobody here reads. */
  readonly protocol: 'http' | 'tcp';
  /** Absent: that of the gateway's own identity. */
  readonly trust?: Trust | undefined;
  /** Absent: those in force. */
  readonly rules?: RuleSet | undefined;
  /** What is against everybody who came this way, as it is now. */
  readonly barred?: (() => Denial | undefined) | undefined;
}

/** What rules may look at of a connection. @param port by which they know the listener; its own unless given */
export function connectionOf(facts: HandshakeFacts, port = facts.localPort): AuthzConnection {
  const { sourceAddress, remoteAddress, localAddress, serverNames } = facts;
  return {
    sourceIp: sourceAddress,
    remoteIp: remoteAddress,
    destinationIp: localAddress,
    destinationPort: port,
    serverName: serverNames[0],
  };
}

/**
 * May this peer hold a connection (without `request`), make this request, or pass bytes through? The same question
 * admits and cuts.
 */
export function ask(facts: Facts, asker: Asker, request?: AuthzRequest) {
  const { peer, rules = facts.rules() } = asker;
  const refusal = facts.ownRefusal() ?? asker.barred?.() ?? wrongWithIssue(facts, peer);
  if (refusal !== undefined) return refusal;
  return authorize(rules, questionOf(facts, asker, facts.clock.now(), request));
}

/** What AUDIT policies and dry runs say to the same question; undefined where there are none, as is most usual. */
export function observed(
  facts: Facts,
  asker: Asker,
  request?: AuthzRequest,
): Observation | undefined {
  const { rules = facts.rules() } = asker;
  if (!hasObservers(rules[asker.protocol])) return undefined;
  return observe(rules, questionOf(facts, asker, facts.clock.now(), request));
}

/** May this upstream be talked to? Its identity is the route's matter: only expiry and revocation are asked here. */
export function askUpstream(facts: Facts, peer: VerifiedPeer, trust?: Trust): StillAllowed {
  const refusal = facts.ownRefusal() ?? wrongWithIssue(facts, peer);
  return (
    refusal ?? authorize(noRules, questionOf(facts, upstreamOf(peer, trust), facts.clock.now()))
  );
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
  const anchored = anchoredWithin(facts, at, 'client');
  return function isStillAllowed(connection) {
    const { peer } = connection;
    const session = sessionOf(connection);
    const anchor = anchored(peer, session?.trust);
    if (!anchor.ok) return anchor;
    const barred = session?.barred?.() ?? wrongWithIssue(facts, peer);
    if (barred !== undefined) return barred;
    const then = withinLife(peer, at);
    const asker: Asker = session ?? {
      ...{ peer, connection: connectionOf(connection.facts), protocol: 'http' },
    };
    const { rules = facts.rules() } = asker;
    const answer = authorize(rules, questionOf(facts, asker, then));
    if (!answer.ok) return answer;
    for (const request of session?.inFlight ?? []) {
      const again = authorize(rules, questionOf(facts, asker, then, request));
      if (!again.ok) return again;
    }
    return { ok: true };
  };
}

/** The same for connections to upstreams. */
export function reaskUpstream(
  facts: Facts,
  trustOf: (connection: LiveConnection) => Trust | undefined,
): (connection: LiveConnection) => StillAllowed {
  const refusal = facts.ownRefusal();
  if (refusal !== undefined) return () => refusal;
  const at = facts.clock.now();
  const anchored = anchoredWithin(facts, at, 'server');
  return function isStillAllowed(connection) {
    const { peer } = connection;
    const trust = trustOf(connection);
    const anchor = anchored(peer, trust);
    if (!anchor.ok || isAnonymous(peer)) return anchor;
    const unlogged = wrongWithIssue(facts, peer);
    if (unlogged !== undefined) return unlogged;
    const question = questionOf(facts, upstreamOf(peer, trust), withinLife(peer, at));
    const answer = authorize(noRules, question);
    return answer.ok ? { ok: true } : answer;
  };
}

/** Whether peers are still vouched for where they were met; for one re-ask, since it remembers its answers. */
function anchoredWithin(facts: Facts, at: number, purpose: 'client' | 'server') {
  const own: Trust = { ...facts, profile: 'svid' };
  const byTrust = new Map<Trust, ReturnType<typeof stillAnchored>>();
  return function anchored(peer: PeerOf, trust: Trust = own): StillAllowed {
    const { bundles, profile } = trust;
    const known = byTrust.get(trust) ?? stillAnchored({ bundles, profile, at, purpose });
    byTrust.set(trust, known);
    return known(peer);
  };
}

function wrongWithIssue({ unlogged }: Facts, peer: PeerOf): Denial | undefined {
  return unlogged === undefined || isAnonymous(peer) ? undefined : unlogged(peer);
}

function withinLife(peer: PeerOf, at: number): number {
  return isAnonymous(peer) ? at : Math.min(at, peer.notAfter);
}

/** What the rules are asked about somebody, and about a request of theirs. */
export function questionOf(
  facts: Facts,
  { peer, connection, protocol, trust }: Asker,
  at: number,
  request?: AuthzRequest,
): AuthzQuestion {
  const revocation: RevocationStatus = isAnonymous(peer)
    ? { status: 'good' }
    : (trust ?? facts).revocation.check(peer);
  const { unknownRevocation } = facts;
  const identity = isAnonymous(peer) ? undefined : facts.roles?.()?.of(peer);
  // Written out twice: the question of every request.
  return request === undefined
    ? { peer, revocation, at, connection, protocol, unknownRevocation, identity }
    : { peer, revocation, at, connection, protocol, unknownRevocation, identity, request };
}

function upstreamOf(peer: VerifiedPeer, trust: Trust | undefined): Asker {
  return { peer, connection: {}, protocol: 'http', trust };
}

/** For who is asked about by no policy. */
export const noRules = compileRules([]);
