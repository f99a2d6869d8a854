import { denial } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import { CandidateIssuers } from './candidate-issuers.ts';
import { certificateText } from './certificate-text.ts';
import { checkCertificate } from './check-certificate.ts';
import { CrlChecks } from './check-crl.ts';
import { checkPurpose } from './check-link.ts';
import { findPath, type NotFound, type Search } from './find-path.ts';
import { matchNames } from './match-name.ts';
import type { PathRefused, PathRequest, PathResult } from './path-request.ts';
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

  // 2. upwards, candidate by candidate, until a path to an anchor holds as a whole
  const search = searchOf(request);
  const found = findPath(leaf, search);
  if (!found.ok) return whyNot(leaf, found, search.budget);

  // 3. the names that the caller expects: last, since a stranger's names mean nothing
  return matchNames(leaf, request.names ?? []) ?? found;
}

function searchOf(request: PathRequest): Search {
  const { at, crls: lists } = request;
  const budget = new WorkBudget(request.budget);
  const signatures = new SignatureChecks(budget, request.signatures);
  const candidates = new CandidateIssuers(request.anchors, request.intermediates, at);
  const crls = new CrlChecks({
    lists,
    at,
    signatures,
    named: (subject) => candidates.named(subject),
    provePath: (signer, anchor) => proveSigner(signer, anchor, search),
  });
  const search: Search = {
    request,
    budget,
    signatures,
    candidates,
    crls,
    verdicts: new Map(),
    onlyAnchor: undefined,
  };
  return search;
}

/**
 * RFC 5280 §6.3.3 (f): the signer of a revocation list has a path of its own, to the same anchor.
 * What was asked of the leaf (purpose, depth, policies) is not asked of it.
 */
function proveSigner(
  signer: Certificate,
  anchor: Certificate,
  search: Search,
): PathRefused | undefined {
  const { anchors, intermediates, at } = search.request;
  const request: PathRequest = { leaf: signer, anchors, intermediates, at };
  const refused = checkCertificate(signer, 'leaf', at);
  if (refused !== undefined) return refused;
  const found = findPath(signer, { ...search, request, onlyAnchor: anchor });
  return found.ok ? undefined : whyNot(signer, found, search.budget);
}

function whyNot(leaf: Certificate, { refusal }: NotFound, budget: WorkBudget): PathRefused {
  if (budget.exhausted === undefined && refusal !== undefined) return refusal;
  return outOfBudget(budget, leaf, refusal);
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
