import { type Denial, denial, type Fields } from '@countersign/base';
import { type RevocationStatus, VerifiedPeer } from '@countersign/spiffe';
import { closestRule, formatClause, formatRule } from './explain-rule.ts';
import { type PathReadings, readPath } from './request-path.ts';
import { type CompiledRule, type RuleFacts, type RuleSet, ruleApplies } from './rule-set.ts';

/** Explicitly nobody: a peer that was not asked for a certificate, or gave none. */
export interface AnonymousPeer {
  readonly kind: 'anonymous';
}

/** For `unknownRevocation`: let a peer in of whom nobody knows whether it is revoked. */
export const allowUnknownRevocation: unique symbol = Symbol('allow unknown revocation');

export interface AuthzQuestion {
  readonly peer: VerifiedPeer | AnonymousPeer;
  /** Of the peer, now; not looked at for an anonymous one. */
  readonly revocation: RevocationStatus;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly unknownRevocation: 'refuse' | typeof allowUnknownRevocation;
  /**
   * Absent: may this peer hold a connection, on which each request is asked about? Such a permit is no permit for any
   * request, nor for passing bytes through.
   */
  readonly request?: AuthzRequest;
}

export interface AuthzRequest {
  readonly method: string;
  /** The request target in origin form; its query is not looked at. */
  readonly path: string;
}

const minted = Symbol('authorized');

/** Evidence that {@link authorize}, its one factory, said yes. It holds for that question at that moment. */
export class Permit {
  readonly ok = true;
  readonly peer: VerifiedPeer | AnonymousPeer;
  /** A permit for a connection does not permit a request. */
  readonly scope: 'connection' | 'request';
  /** `namespace/name` of the policy that allows it; undefined where there are no ALLOW policies. */
  readonly policy: string | undefined;
  /** Which of its rules, from 0. */
  readonly rule: number | undefined;
  readonly #authorized = true;

  constructor(evidence: typeof minted, question: AuthzQuestion, rule: CompiledRule | undefined) {
    if (evidence !== minted) throw new TypeError('a Permit is made by authorize only');
    this.peer = question.peer;
    this.scope = question.request === undefined ? 'connection' : 'request';
    this.policy = rule?.policy;
    this.rule = rule?.index;
  }

  /** Whether a value is this evidence, and not something that only looks like it. */
  static is(value: unknown): value is Permit {
    return typeof value === 'object' && value !== null && #authorized in value && value.#authorized;
  }
}

/**
 * May this peer do this, now? Pure: the same question gets the same answer, so it is asked again whenever identity,
 * rules or revocation change. The same function admits and cuts.
 *
 * Denials, in this order: ERR_PEER_EXPIRED, ERR_PEER_REVOKED, what the revocation source refuses with,
 * ERR_REVOCATION_UNKNOWN, ERR_AUTHZ_PATH, ERR_AUTHZ_DENIED, ERR_AUTHZ_NO_RULE, ERR_AUTHZ_ANONYMOUS.
 */
export function authorize(rules: RuleSet, question: AuthzQuestion): Permit | Denial {
  const peer = verifiedPeerOf(question);

  // 1. Is the peer still who it proved to be?
  const stale = peer === undefined ? undefined : wrongWithPeer(peer, question);
  if (stale !== undefined) return stale;

  // 2. What the rules look at; a path that servers read in incompatible ways is not judged.
  const path = question.request === undefined ? undefined : readPath(question.request.path);
  if (typeof path === 'string') {
    return denial('ERR_AUTHZ_PATH', `${subjectOf(question)}: the path ${path}`, fieldsOf(question));
  }
  const facts = ruleFactsOf(question, path);

  // 3. DENY comes first, whatever is allowed.
  const denied = rules.denies.find((rule) => ruleApplies(rule, facts));
  if (denied !== undefined) return deniedBy(denied, question);

  // 4. As soon as there is an ALLOW policy, only what one allows is allowed.
  if (rules.allowPolicies.length > 0) {
    const allowed = rules.allows.find((rule) => ruleApplies(rule, facts));
    return allowed === undefined
      ? allowedByNone(rules, question, facts)
      : new Permit(minted, question, allowed);
  }

  // 5. With no ALLOW policy every verified peer may. Stricter than Istio: an anonymous one needs a rule that says so.
  if (peer !== undefined) return new Permit(minted, question, undefined);
  return denial(
    'ERR_AUTHZ_ANONYMOUS',
    `${subjectOf(question)}: no certificate, and no rule that allows anybody`,
    fieldsOf(question),
  );
}

/** What rules look at in a question whose path was read. */
export function ruleFactsOf(question: AuthzQuestion, path: PathReadings | undefined): RuleFacts {
  const peer = verifiedPeerOf(question);
  const { request } = question;
  return {
    isVerified: peer !== undefined,
    principal: peer?.spiffeId?.toString().slice('spiffe://'.length),
    request:
      request === undefined || path === undefined ? undefined : { method: request.method, path },
  };
}

/** Evidence or nothing: what only looks like a verified peer is a defect, and gets no answer. */
function verifiedPeerOf(question: AuthzQuestion): VerifiedPeer | undefined {
  const { peer } = question;
  if (VerifiedPeer.is(peer)) return peer;
  if (peer.kind === 'anonymous') return undefined;
  throw new TypeError('the peer is neither a VerifiedPeer nor anonymous');
}

function wrongWithPeer(peer: VerifiedPeer, question: AuthzQuestion): Denial | undefined {
  const { at, revocation } = question;
  const who = subjectOf(question);
  if (peer.hasEnded(at)) {
    return denial(
      'ERR_PEER_EXPIRED',
      `${who}: its certificate expired at ${time(peer.notAfter)}, it is now ${time(at)}`,
      { ...fieldsOf(question), now: at, notAfter: peer.notAfter },
    );
  }
  if (revocation.status === 'revoked') {
    const { by, reason, position, toldBy = `ledger position ${position}` } = revocation;
    return denial(
      'ERR_PEER_REVOKED',
      `${who}: revoked by ${by} at ${time(revocation.at)} for ${reason}, ${toldBy}`,
      { ...fieldsOf(question), by, reason, position, revokedAt: revocation.at },
    );
  }
  if (revocation.status === 'refused') {
    return denial(revocation.code, `${who}: ${revocation.detail}`, fieldsOf(question));
  }
  if (revocation.status === 'unknown' && question.unknownRevocation !== allowUnknownRevocation) {
    return denial(
      'ERR_REVOCATION_UNKNOWN',
      `${who}: whether it is revoked is unknown: ${revocation.detail}`,
      fieldsOf(question),
    );
  }
  return undefined;
}

function deniedBy(rule: CompiledRule, question: AuthzQuestion): Denial {
  const where = formatRule({ ...rule, rule: rule.index });
  return denial('ERR_AUTHZ_DENIED', `${subjectOf(question)}: denied by ${where}`, {
    ...fieldsOf(question),
    policy: rule.policy,
    rule: rule.index,
  });
}

function allowedByNone(rules: RuleSet, question: AuthzQuestion, facts: RuleFacts): Denial {
  const who = subjectOf(question);
  const closest = closestRule(rules.allows, facts);
  if (closest === undefined) {
    const policies = rules.allowPolicies.join(', ');
    return denial('ERR_AUTHZ_NO_RULE', `${who}: policy ${policies} allows nothing`, {
      ...fieldsOf(question),
      policies: rules.allowPolicies,
    });
  }
  const missing = closest.clauses.filter((clause) => !clause.applies);
  const differs = missing.map(formatClause).join('; ');
  return denial(
    'ERR_AUTHZ_NO_RULE',
    `${who}: no rule allows it; closest is ${formatRule(closest)}: ${differs}`,
    { ...fieldsOf(question), policy: closest.policy, rule: closest.rule, differs: missing },
  );
}

/** Such as `"spiffe://example.com/ns/prod/sa/web" GET "/orders"`. */
function subjectOf(question: AuthzQuestion): string {
  const { peer, request } = question;
  const who = VerifiedPeer.is(peer) ? nameOf(peer) : 'anonymous';
  if (request === undefined) return who;
  return `${who} ${quoted(request.method).slice(1, -1)} ${quoted(request.path)}`;
}

function nameOf(peer: VerifiedPeer): string {
  return peer.spiffeId === undefined ? `certificate ${peer.serialHex}` : `"${peer.spiffeId}"`;
}

function fieldsOf(question: AuthzQuestion): Fields {
  const { peer, request } = question;
  return {
    ...(VerifiedPeer.is(peer)
      ? { spiffeId: peer.spiffeId?.toString(), serial: peer.serialHex }
      : { anonymous: true }),
    ...(request === undefined ? {} : { method: request.method, path: request.path }),
  };
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
