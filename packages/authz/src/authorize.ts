import { type Denial, denial, type Fields } from '@countersign/base';
import { type RevocationStatus, VerifiedPeer } from '@countersign/spiffe';
import { closestRule, formatClause, formatRule } from './explain-rule.ts';
import {
  type ExternalAnswers,
  hasObservers,
  judge,
  type Observation,
  observeFacts,
  type Refused,
} from './judge.ts';
import { factsOf, type QuestionFacts } from './question-facts.ts';
import type { RawHeaders } from './request/header-lines.ts';
import { otherReadings } from './request/path-readings.ts';
import type { IdentityFacts } from './roles/role-mapping.ts';
import type { Claims, RuleFacts } from './rules/rule-facts.ts';
import type { ActionRules, CompiledRule, RuleSet } from './rules/rule-set.ts';

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
  /** What is known of the connection; rules about what is absent do not match. */
  readonly connection?: AuthzConnection;
  /**
   * `http` (default): a request, or a connection that will carry requests. `tcp`: a connection whose bytes are passed
   * through; rules that ask for what only HTTP has are then read as Istio reads them on TCP.
   */
  readonly protocol?: 'http' | 'tcp';
  /**
   * Absent with `http`: may this peer hold a connection, on which each request is asked about? Such a permit is no
   * permit for any request, nor for passing bytes through.
   */
  readonly request?: AuthzRequest;
  /** What the role mapping says of the peer, for rules. */
  readonly identity?: IdentityFacts | undefined;
}

/** Addresses as `node:net` shows them. */
export interface AuthzConnection {
  readonly sourceIp?: string | undefined;
  /** Where a trusted proxy told it of the whole connection (PROXY protocol); the source's where absent. */
  readonly remoteIp?: string | undefined;
  readonly destinationIp?: string | undefined;
  readonly destinationPort?: number | undefined;
  /** SNI. */
  readonly serverName?: string | undefined;
  /** Of a connection whose bytes are passed through: see {@link AuthzRequest.external}. */
  readonly external?: ExternalAnswers | undefined;
}

export interface AuthzRequest {
  readonly method: string;
  /** The request target in origin form; rules for paths do not look at its query. */
  readonly path: string;
  /** As sent, with its port. */
  readonly host?: string | undefined;
  /** With its question mark; for external authorizers. */
  readonly query?: string | undefined;
  /** For external authorizers that want it. */
  readonly body?: { readonly bytes: Uint8Array; readonly isPart: boolean } | undefined;
  /** `https` unless given. */
  readonly scheme?: 'http' | 'https' | undefined;
  /** Names and values alternating, each line by itself. */
  readonly rawHeaders?: RawHeaders | undefined;
  /** The client behind trusted proxies; of `X-Forwarded-For` as the mesh trusts it where absent. */
  readonly remoteIp?: string | undefined;
  /** Of a token that was verified. */
  readonly claims?: Claims | undefined;
  /** Claims that are lists of words, besides `scope` and `permission`. */
  readonly spaceDelimitedClaims?: readonly string[] | undefined;
  /** What external authorizers said, asked before; a CUSTOM rule that applies and has no answer here denies. */
  readonly external?: ExternalAnswers | undefined;
}

const minted = Symbol('authorized');

/** Evidence that {@link authorize}, its one factory, said yes. It holds for that question at that moment. */
export class Permit {
  readonly ok = true;
  readonly peer: VerifiedPeer | AnonymousPeer;
  /** A permit for a connection does not permit a request, nor bytes to be passed through. */
  readonly scope: 'connection' | 'request' | 'bytes';
  /** `namespace/name` of the policy that allows it; undefined where there are no ALLOW policies. */
  readonly policy: string | undefined;
  /** Which of its rules, from 0. */
  readonly rule: number | undefined;
  readonly #authorized = true;

  constructor(evidence: typeof minted, question: AuthzQuestion, rule: CompiledRule | undefined) {
    if (evidence !== minted) throw new TypeError('a Permit is made by authorize only');
    this.peer = question.peer;
    this.scope = scopeOf(question);
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
 * ERR_REVOCATION_UNKNOWN, ERR_AUTHZ_PATH, ERR_AUTHZ_PROVIDER or the provider's own, ERR_AUTHZ_DENIED,
 * ERR_AUTHZ_NO_RULE.
 */
export function authorize(rules: RuleSet, question: AuthzQuestion): Permit | Denial {
  const peer = verifiedPeerOf(question);

  // 1. Is the peer still who it proved to be?
  const stale = peer === undefined ? undefined : wrongWithPeer(peer, question);
  if (stale !== undefined) return stale;

  // 2. What the rules look at; a path that cannot be normalised is not judged.
  const facts = factsOf(question, rules.mesh);
  if ('ok' in facts) {
    const detail = `${subjectOf(question)}: ${facts.detail}`;
    return denial(facts.code, detail, fieldsOf(question));
  }

  // 3. What the rules say to them.
  const asked = rulesFor(rules, question);
  const isUnasked = isUnaskedIn(question);
  const judgement = judge(asked, facts, isUnasked, externalOf(question));
  if (!judgement.ok) return refusal(judgement, asked, question, facts);
  if (rules.paths === 'as-istio') return new Permit(minted, question, judgement.rule);

  // 4. And however else a server may read the path.
  for (const path of otherReadings(facts.request?.path ?? '')) {
    const read = facts.readAs(path);
    const again = judge(asked, read, isUnasked, externalOf(question));
    if (!again.ok) return refusal(again, asked, question, read);
  }
  return new Permit(minted, question, judgement.rule);
}

export function rulesFor(rules: RuleSet, { protocol }: AuthzQuestion): ActionRules {
  return protocol === 'tcp' ? rules.tcp : rules.http;
}

function refusal(
  judgement: Refused,
  asked: ActionRules,
  question: AuthzQuestion,
  facts: QuestionFacts,
): Denial {
  if (judgement.by === 'deny') return deniedBy(judgement.rule, question);
  if (judgement.by === 'provider') return deniedByProvider(judgement.rule, question);
  return allowedByNone(asked, question, facts);
}

export function externalOf({ request, connection }: AuthzQuestion): ExternalAnswers | undefined {
  return request === undefined ? connection?.external : request.external;
}

/** What AUDIT policies and dry runs say to a question; undefined where there are none of either, which is the most. */
export function observe(rules: RuleSet, question: AuthzQuestion): Observation | undefined {
  const asked = rulesFor(rules, question);
  if (!hasObservers(asked)) return undefined;
  const facts = factsOf(question, rules.mesh);
  return 'ok' in facts ? undefined : observeFacts(asked, facts);
}

/** Whether requests are still to come. */
export function isUnaskedIn({ protocol, request }: AuthzQuestion): boolean {
  return protocol !== 'tcp' && request === undefined;
}

function scopeOf({ protocol, request }: AuthzQuestion): Permit['scope'] {
  if (protocol === 'tcp') return 'bytes';
  return request === undefined ? 'connection' : 'request';
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
  if (!peer.hasEnded(at) && revocation.status === 'good') return undefined;
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

/** Refused, or nobody was asked: what cannot be asked denies, so that a missing provider opens nothing. */
function deniedByProvider(rule: CompiledRule, question: AuthzQuestion): Denial {
  const provider = rule.provider ?? '';
  const where = `by provider "${provider}", as ${formatRule({ ...rule, rule: rule.index })} asks`;
  const fields = { ...fieldsOf(question), provider, policy: rule.policy, rule: rule.index };
  const answer = externalOf(question)?.get(provider);
  if (answer === undefined || answer.ok) {
    const detail = `${subjectOf(question)}: to be judged ${where}, and there is no answer of it`;
    return denial('ERR_AUTHZ_PROVIDER', detail, fields);
  }
  const detail = `${subjectOf(question)}: refused ${where}: ${answer.detail}`;
  return denial(answer.code, detail, { ...answer.fields, ...fields });
}

function allowedByNone(rules: ActionRules, question: AuthzQuestion, facts: RuleFacts): Denial {
  const who = subjectOf(question);
  const closest = closestRule(rules.allows, facts, isUnaskedIn(question));
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
