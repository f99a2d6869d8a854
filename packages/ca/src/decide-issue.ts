import { type Denial, denial } from '@countersign/base';
import type { CertificateRequest, KeyKind } from '@countersign/x509';
import type { CaConfig } from './ca-config.ts';
import type { CertificateNames } from './certificate-names.ts';
import { quotedList } from './dns-name.ts';
import { assertsPolicies } from './hierarchy-config.ts';
import { decideLifetime, type Lifetime, type LifetimeQuestion } from './lifetime-policy.ts';
import {
  admitNames,
  type ConstrainedIssuer,
  chooseIssuer,
  type NameQuestion,
} from './name-policy.ts';
import type { Judgement } from './policy/judgement.ts';
import type { Requester } from './policy/who.ts';
import type { CertificateProfile } from './profile/certificate-profile.ts';
import { chooseProfile, profileMeant } from './profile/choose-profile.ts';
import { judgeUsages, type UsageWish } from './profile/narrow-usages.ts';
import { judgeKeyKind, judgeRequestContent } from './request-policy.ts';

/** What is asked of an intermediate to decide. */
export interface DecidingIssuer extends ConstrainedIssuer {
  readonly notBefore: number;
  readonly notAfter: number;
  /** Dotted OIDs that may be asserted below it. */
  readonly policies: readonly string[];
  /** Name of the profile of what it signs where nothing else decides. */
  readonly profile: string | undefined;
}

export interface IssueQuestion {
  readonly at: number;
  readonly names: CertificateNames;
  readonly requester: Requester;
  /** Asked for by name; undefined: chosen by the request. */
  readonly profile: string | undefined;
  /** Of a renewal: that of its certificate, where it was asked for by name. */
  readonly kept?: string | undefined;
  /** Name of the intermediate that is to sign; undefined: the first that admits the names. */
  readonly issuer: string | undefined;
  /** As {@link NameQuestion} has them. */
  readonly preferred?: NameQuestion['preferred'];
  readonly unfit?: NameQuestion['unfit'];
  readonly ttlMs: number | undefined;
  readonly beginsAt?: number | undefined;
  /** Undefined where nothing but a policy is tried out. */
  readonly request: { readonly csr: CertificateRequest; readonly grantedBy: string } | undefined;
  /** Fewer usages than the profile has. */
  readonly usages?: UsageWish | undefined;
  /** Of the key; undefined where it is not known. */
  readonly kind: KeyKind | undefined;
  /** What the grant says about lifetimes. */
  readonly lifetime: Pick<LifetimeQuestion, 'grantedMs' | 'renewed' | 'limits'>;
  /** The authority's own certificate: bound by its issuer's constraints, not by the policy for services. */
  readonly isOwn: boolean;
  readonly random: () => number;
}

export interface IssueDecision<I extends DecidingIssuer> {
  readonly issuer: I;
  readonly profile: CertificateProfile;
  readonly lifetime: Lifetime;
}

/**
 * The policy's answer to a request, whole: may it have these names, which intermediate signs, by which profile, for how
 * long. Pure.
 *
 * Denials: those of `judgeNames`, `chooseProfile`, `judgeRequestContent`, `judgeKeyKind` and `decideLifetime`.
 */
export function* decideIssue<I extends DecidingIssuer>(
  question: IssueQuestion,
  config: CaConfig,
  issuers: readonly I[],
): Judgement<IssueDecision<I>> {
  const { at, names, requester, request, kind, isOwn } = question;

  // 1. Who may have the names, and which intermediate signs them.
  const issuer = isOwn
    ? yield* ownIssuer(names, issuers)
    : yield* admitNames(nameQuestionOf(question), config, issuers);

  // 2. By which profile.
  const chosen = isOwn
    ? ({ ok: true, profile: config.defaultProfile } as const)
    : chooseProfile(
        {
          ...{ asked: question.profile, kept: question.kept, requester, names },
          issuerDefault: issuer?.profile,
        },
        config,
      );
  if (!chosen.ok) yield chosen;
  // Refused by now: what else is in the way is told of the profile that was meant, as far as there is such a one.
  const profile = chosen.ok ? chosen.profile : profileMeant(question.profile, config);

  if (issuer !== undefined && !assertsPolicies(issuer.policies, profile.policies)) {
    yield lacksPolicies(issuer, profile, issuers);
  }

  // 3. What the request asks for beyond names, and with what key.
  if (request !== undefined) {
    const { csr, grantedBy } = request;
    const granted = { names, by: grantedBy };
    yield* judgeRequestContent(csr, profile, granted, config.requests);
  }
  const unfit = isOwn || kind === undefined ? undefined : judgeKeyKind(kind, profile);
  if (unfit !== undefined) yield unfit;

  const missing = question.usages && judgeUsages(question.usages, profile, kind);
  if (missing !== undefined) yield missing;

  // 4. For how long.
  const { grantedMs, renewed, limits } = question.lifetime;
  const lifetime = decideLifetime({
    at,
    askedMs: question.ttlMs,
    beginsAt: question.beginsAt,
    grantedMs,
    renewed,
    limits,
    profile: profile.lifetime,
    issuer: issuer ?? boundless,
    random: question.random,
  });
  if (!lifetime.ok) yield lifetime;
  return lifetime.ok && issuer !== undefined ? { issuer, profile, lifetime } : undefined;
}

/** Where none signs, the lifetime is judged by the profile alone. */
const boundless = { name: '', notBefore: 0, notAfter: Date.UTC(9999, 11, 31) };

function lacksPolicies(
  issuer: DecidingIssuer,
  { name, policies }: CertificateProfile,
  issuers: readonly DecidingIssuer[],
): Denial {
  const able = issuers
    .filter((each) => each.signsServices && assertsPolicies(each.policies, policies))
    .map((each) => each.name);
  const sides = `asserts ${quotedList(policies)}, intermediate "${issuer.name}" does not`;
  return denial('ERR_POLICY_PROFILE', `profile "${name}" ${sides}`, { profile: name, able });
}

function* ownIssuer<I extends DecidingIssuer>(
  names: CertificateNames,
  issuers: readonly I[],
): Judgement<I> {
  const chosen = chooseIssuer(names, issuers);
  if (chosen.ok) return chosen.issuer;
  yield chosen;
  return undefined;
}

function nameQuestionOf(question: IssueQuestion): NameQuestion {
  const { at, names, requester, kept, issuer, preferred, unfit, kind, ttlMs = 0 } = question;
  const profile = question.profile ?? kept;
  return { at, names, requester, profile, issuer, preferred, unfit, kind, ttlMs };
}
