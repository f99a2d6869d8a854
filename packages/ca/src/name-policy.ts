import { type Denial, denial, nearestWord } from '@countersign/base';
import { isReserved, reservedPath } from '@countersign/spiffe';
import type { GeneralName, NameConstraints } from '@countersign/x509';
import type { CaConfig } from './ca-config.ts';
import { alternativesOf, type CertificateNames, countNames } from './certificate-names.ts';
import { dnsOf, formatConstraint, linksAgainst } from './constraints/name-constraints.ts';
import { isWithin, matchesDnsPattern, quotedList } from './dns-name.ts';
import { judgeRules } from './policy/judge-rules.ts';
import { firstAnswer, type Judgement } from './policy/judgement.ts';
import type { RuleQuestion } from './policy/name-rule.ts';

/** What choosing needs of an intermediate. */
export interface ConstrainedIssuer {
  readonly name: string;
  /** The constraints of its chain. */
  readonly links: readonly NameConstraints[];
  /** Those that issue intermediates sign no certificates of services. */
  readonly signsServices: boolean;
}

/** What the policy is asked about names. */
export interface NameQuestion extends RuleQuestion {
  /** Name of the intermediate that is to sign; undefined: the first that admits the names. */
  readonly issuer?: string | undefined;
  /** Name of the one that is asked first where none is named: a renewal stays where it came from. */
  readonly preferred?: string | undefined;
  /** Intermediates that can sign nothing now, by name: they are passed over. Default: none. */
  readonly unfit?: ReadonlyMap<string, Denial> | undefined;
}

type NameConfig = Pick<CaConfig, 'trustDomain' | 'services' | 'rules'>;

/**
 * Whether a certificate may carry these names, and who signs it: the first intermediate in file order that admits them
 * all and can sign. Pure: asked for tokens, enrolments, renewals and orders alike.
 *
 * Denials: ERR_POLICY_NAME_MISSING, ERR_POLICY_SPIFFE_REQUIRED, ERR_POLICY_SPIFFE_ID, ERR_POLICY_DNS, ERR_POLICY_IP,
 * ERR_POLICY_RULE, ERR_POLICY_NO_ISSUER, and what makes those unfit that admit the names.
 */
export function judgeNames<I extends ConstrainedIssuer>(
  question: NameQuestion,
  config: NameConfig,
  issuers: readonly I[],
): { readonly ok: true; readonly answer: I } | Denial {
  return firstAnswer(admitNames(question, config, issuers));
}

/** As {@link judgeNames}, with every refusal. */
export function* admitNames<I extends ConstrainedIssuer>(
  question: NameQuestion,
  config: NameConfig,
  issuers: readonly I[],
): Judgement<I> {
  const { names } = question;
  const { services } = config;
  if (services.requireSpiffe && names.spiffeId === undefined) {
    const sides = `${names.dns.length + names.ip.length} other names, and require_spiffe is true`;
    yield denial('ERR_POLICY_SPIFFE_REQUIRED', `no SPIFFE ID is asked for, ${sides}`);
  }
  if (countNames(names) === 0) yield denial('ERR_POLICY_NAME_MISSING', 'no name is asked for');
  const wrongId = wrongWithSpiffeId(names, config.trustDomain);
  if (wrongId !== undefined) yield wrongId;
  for (const name of names.dns) {
    const wrong = wrongWithDns(name, config, issuers);
    if (wrong !== undefined) yield wrong;
  }
  for (const address of services.allowIp ? [] : names.ip) {
    const sides = `IP address "${address}" is asked for, and allow_ip_san is false`;
    yield denial('ERR_POLICY_IP', sides, { address });
  }
  yield* judgeRules(config.rules, question);
  const chosen = chooseIssuer(names, issuers, question);
  if (chosen.ok) return chosen.issuer;
  yield chosen;
  return undefined;
}

/**
 * The first that admits all names and can sign, or the one asked for; the one step of {@link judgeNames} that also binds the
 * authority's own certificate.
 */
export function chooseIssuer<I extends ConstrainedIssuer>(
  names: CertificateNames,
  issuers: readonly I[],
  wish: Pick<NameQuestion, 'issuer' | 'preferred' | 'unfit'> = {},
): { readonly ok: true; readonly issuer: I } | Denial {
  const { issuer: asked, preferred, unfit } = wish;
  const candidates = issuers
    .filter(({ name }) => asked === undefined || name === asked)
    .sort((a, b) => Number(b.name === preferred) - Number(a.name === preferred));
  if (candidates.length === 0) return unknownIssuer(asked ?? '', issuers);
  const all = alternativesOf(names);
  const reasons: string[] = [];
  const passedOver: Denial[] = [];
  for (const issuer of candidates) {
    const refused = issuer.signsServices
      ? wrongWithNames(all, issuer)
      : `"${issuer.name}" issues intermediates alone`;
    const whyUnfit = refused === undefined ? unfit?.get(issuer.name) : undefined;
    if (whyUnfit !== undefined) {
      passedOver.push(whyUnfit);
      continue;
    }
    if (refused === undefined) return { ok: true, issuer };
    if (issuer.signsServices || asked !== undefined) reasons.push(refused);
  }
  const [first] = passedOver;
  if (first !== undefined) {
    return denial(first.code, passedOver.map(({ detail }) => detail).join('; '), first.fields);
  }
  const whom = asked === undefined ? 'no intermediate admits' : 'the intermediate does not admit';
  return denial('ERR_POLICY_NO_ISSUER', `${whom} every name: ${reasons.join('; ')}`, {
    dns: names.dns,
    reasons,
  });
}

function wrongWithNames(
  names: readonly GeneralName[],
  { name: issuer, links }: ConstrainedIssuer,
): string | undefined {
  const asked = new Map<string, string[]>();
  for (const name of names) {
    const against = linksAgainst(links, name);
    if (against === undefined) continue;
    asked.set(against, [...(asked.get(against) ?? []), formatConstraint(name)]);
  }
  if (asked.size === 0) return undefined;
  const reasons = [...asked].map(
    ([against, refused]) =>
      `${against}, ${quotedList(refused)} ${refused.length === 1 ? 'is' : 'are'} asked for`,
  );
  return `"${issuer}" ${reasons.join(', and ')}`;
}

function unknownIssuer(asked: string, issuers: readonly ConstrainedIssuer[]): Denial {
  const known = issuers.map(({ name }) => name);
  const nearest = nearestWord(asked, known);
  const then =
    nearest === undefined ? `there is ${quotedList(known)}` : `the nearest is "${nearest}"`;
  const sides = `intermediate "${asked}" is asked for, ${then}`;
  return denial('ERR_POLICY_NO_ISSUER', sides, { issuer: asked, known });
}

function wrongWithSpiffeId(names: CertificateNames, trustDomain: string): Denial | undefined {
  const { spiffeId } = names;
  if (spiffeId === undefined) return undefined;
  if (spiffeId.trustDomain !== trustDomain) {
    const sides = `is of trust domain "${spiffeId.trustDomain}", this authority's is "${trustDomain}"`;
    return refuse(`SPIFFE ID "${spiffeId}" ${sides}`);
  }
  if (isReserved(spiffeId)) {
    return refuse(
      `SPIFFE ID "${spiffeId}" is below "${reservedPath}", which names the authority itself`,
    );
  }
  // X509-SVID §2: the SPIFFE ID of a leaf has a path.
  return spiffeId.path === ''
    ? refuse(`SPIFFE ID "${spiffeId}" has no path, so it names no workload`)
    : undefined;

  function refuse(detail: string): Denial {
    return denial('ERR_POLICY_SPIFFE_ID', detail, { spiffeId: `${spiffeId}`, trustDomain });
  }
}

function wrongWithDns(
  name: string,
  { services }: Pick<CaConfig, 'services'>,
  issuers: readonly ConstrainedIssuer[],
): Denial | undefined {
  const { dnsPatterns, allowWildcards } = services;
  if (name.startsWith('*.') && !allowWildcards) {
    const sides = 'which names no single service, and allow_wildcards is false';
    return denial('ERR_POLICY_DNS', `DNS name "${name}" is a wildcard, ${sides}`, { name });
  }
  if (dnsPatterns?.some((pattern) => matchesDnsPattern(pattern, name)) === true) return undefined;
  if (dnsPatterns !== undefined) {
    const allowed = dnsPatterns.map((pattern) => pattern.written);
    const sides =
      allowed.length === 0
        ? 'allowed_dns_patterns is empty'
        : `allowed_dns_patterns admits ${quotedList(allowed)} ("*" is one label)`;
    return denial('ERR_POLICY_DNS', `DNS name "${name}" is asked for, ${sides}`, { name, allowed });
  }
  // Without patterns a name needs an intermediate that permits it by name: what nobody wrote down is not issued.
  const permitted = issuers.flatMap(({ links }) =>
    links.flatMap((link) => dnsOf(link, 'permitted')),
  );
  if (permitted.some((domain) => isWithin(name, domain))) return undefined;
  const sides =
    permitted.length === 0
      ? 'there is neither allowed_dns_patterns nor an intermediate with permitted names'
      : `the intermediates permit ${quotedList(permitted)}`;
  return denial('ERR_POLICY_DNS', `DNS name "${name}" is asked for, ${sides}`, { name });
}
