import { denial } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import { CandidateIssuers } from './candidate-issuers.ts';
import { certificateText, nameText } from './certificate-text.ts';
import { checkCertificate, isSelfIssued } from './check-certificate.ts';
import { CrlChecks } from './check-crl.ts';
import { checkLink, checkPurpose, closesLoop, type LinkContext } from './check-link.ts';
import { FurthestRefusal, weights } from './furthest-refusal.ts';
import { matchNames } from './match-name.ts';
import type { PathRefused, PathRequest, PathResult } from './path-request.ts';
import { checkPolicies } from './policy-graph.ts';
import { SignatureChecks } from './signature-checks.ts';
import { WorkBudget } from './work-budget.ts';

/**
 * Builds a path from the leaf to a trust anchor and validates it (RFC 5280 §6, RFC 4158 for the
 * building). Every candidate issuer is tried until one path holds; where none does, the answer is
 * the refusal of the path that came furthest.
 *
 * The verdict depends on what is given and not on its order. It never throws for what a certificate
 * contains, and costs at most `request.budget`, beyond which it is ERR_PATH_BUDGET.
 *
 * Refuses with ERR_PATH_*, ERR_CERT_*, ERR_NAME_*, ERR_CRL_*, and ERR_KEY_* for keys that are not
 * accepted.
 */
export function validatePath(request: PathRequest): PathResult {
  const { leaf, at } = request;

  // 1. the leaf by itself: dates, profile, key, purpose
  const leafRefused = checkCertificate(leaf, 'leaf', at) ?? checkPurpose(leaf, request.purpose);
  if (leafRefused !== undefined) return { ...leafRefused, depth: 0 };

  const budget = new WorkBudget(request.budget);
  const signatures = new SignatureChecks(budget, request.signatures);
  const crls = new CrlChecks(request.crls ?? [], signatures, at);
  const context: LinkContext = { request, budget, signatures, crls, verdicts: new Map() };
  const candidates = new CandidateIssuers(request.anchors, request.intermediates, at);
  const furthest = new FurthestRefusal();

  // 2. a leaf that is itself trusted needs nobody above it
  const chain = candidates.isAnchor(leaf)
    ? endAt([leaf], context, furthest)
    : // 3. else upwards, candidate by candidate
      climb([leaf], candidates, context, furthest);

  // 4. why there is no path
  if (budget.exhausted !== undefined) return outOfBudget(budget, leaf, furthest.refusal);
  if (chain === undefined) return furthest.refusal ?? noIssuer(leaf, request, 0, false);

  // 5. the names that the caller expects: last, since a stranger's names mean nothing
  return matchNames(leaf, request.names ?? []) ?? { ok: true, chain };
}

/**
 * Depth first; `path` is proved up to its last certificate. Undefined where no candidate leads to
 * an anchor.
 */
function climb(
  path: readonly Certificate[],
  candidates: CandidateIssuers,
  context: LinkContext,
  furthest: FurthestRefusal,
): readonly Certificate[] | undefined {
  const child = path.at(-1);
  if (child === undefined) return undefined;
  const depth = path.length - 1;
  const issuers = candidates.issuersOf(child);
  let tried = 0;
  for (const candidate of issuers) {
    if (!context.budget.spend('links')) return undefined;
    if (closesLoop(path, candidate)) continue;
    tried += 1;
    const refused = checkLink(path, candidate, context);
    if (context.budget.exhausted !== undefined) return undefined;
    if (refused !== undefined) {
      const { refusal, weight } = refused;
      furthest.note(refusal, { depth, weight, promising: candidate.promising });
      continue;
    }
    const longer = [...path, candidate.certificate];
    const found = candidate.anchor
      ? endAt(longer, context, furthest)
      : climb(longer, candidates, context, furthest);
    if (found !== undefined || context.budget.exhausted !== undefined) return found;
  }
  if (tried > 0) return undefined;
  const refusal = noIssuer(child, context.request, depth, issuers.length > 0);
  furthest.note(refusal, { depth, weight: weights.noIssuer, promising: false });
  return undefined;
}

/** At an anchor: what can only be said of a whole path. */
function endAt(
  chain: readonly Certificate[],
  { request, budget }: LinkContext,
  furthest: FurthestRefusal,
): readonly Certificate[] | undefined {
  const wrong = checkPolicies(chain, request.policies ?? {}, budget);
  if (wrong === undefined) return budget.exhausted === undefined ? chain : undefined;
  const [leaf] = chain;
  const subject = leaf === undefined ? '' : certificateText(leaf);
  const detail = `path of certificate "${subject}" is ${wrong}`;
  const refusal = { ...denial('ERR_PATH_POLICY', detail, { subject }), subject, depth: 0 };
  furthest.note(refusal, { depth: chain.length, weight: weights.proven, promising: true });
  return undefined;
}

function noIssuer(
  certificate: Certificate,
  request: PathRequest,
  depth: number,
  loop: boolean,
): PathRefused {
  const subject = certificateText(certificate);
  const issuer = nameText(certificate.issuer);
  const anchors = count(request.anchors.length, 'trust anchor');
  const fields = { subject, issuer, anchors: request.anchors.length };
  if (isSelfIssued(certificate)) {
    const detail = `certificate "${subject}" is self-issued and not among ${anchors}`;
    return { ...denial('ERR_PATH_UNTRUSTED', detail, fields), subject, depth };
  }
  const why = loop
    ? `which only leads back to what it has issued, and to none of ${anchors}`
    : `which is not among ${anchors} and ${count(request.intermediates.length, 'intermediate')}`;
  const detail = `certificate "${subject}" was issued by "${issuer}", ${why}`;
  return { ...denial('ERR_PATH_NO_ISSUER', detail, fields), subject, depth };
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

function outOfBudget(
  budget: WorkBudget,
  leaf: Certificate,
  furthest: PathRefused | undefined,
): PathRefused {
  const kind = budget.exhausted ?? 'links';
  const words = kind.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  const subject = certificateText(leaf);
  const came = furthest === undefined ? '' : `; the path that came furthest: ${furthest.detail}`;
  const detail = `no valid path for certificate "${subject}" within ${budget.limits[kind]} ${words}${came}`;
  const fields = { subject, limit: kind, allowed: budget.limits[kind], furthest: furthest?.code };
  return { ...denial('ERR_PATH_BUDGET', detail, fields), subject };
}
