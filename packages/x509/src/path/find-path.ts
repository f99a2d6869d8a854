import { denial } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import type { CandidateIssuers } from './candidate-issuers.ts';
import { certificateText, nameText } from './certificate-text.ts';
import { isSelfIssued } from './check-certificate.ts';
import { checkLink, closesLoop, type LinkContext } from './check-link.ts';
import { isSameAuthority } from './crl-signers.ts';
import { FurthestRefusal, weights } from './furthest-refusal.ts';
import type { PathFound, PathRefused } from './path-request.ts';
import { checkPolicies } from './policy-graph.ts';

export interface Search extends LinkContext {
  readonly candidates: CandidateIssuers;
  /** The one anchor that a path may end at; undefined for any. */
  readonly onlyAnchor: Certificate | undefined;
}

interface Climb extends Search {
  readonly furthest: FurthestRefusal;
}

export interface NotFound {
  readonly ok: false;
  /** Of the path that came furthest; undefined where the budget ended before any was refused. */
  readonly refusal: PathRefused | undefined;
}

/**
 * A path to an anchor from `start`, which the caller has looked at by itself. The budget must be
 * looked at before a refusal is believed.
 */
export function findPath(start: Certificate, search: Search): PathFound | NotFound {
  const climbing: Climb = { ...search, furthest: new FurthestRefusal() };
  // what is itself trusted needs nobody above it
  const chain = isEnd(start, search) ? endAt([start], start, climbing) : climb([start], climbing);
  if (chain !== undefined) return { ok: true, chain };
  return { ok: false, refusal: climbing.furthest.refusal };
}

/**
 * Depth first; `path` is proved up to its last certificate. Undefined where no candidate leads to
 * an anchor.
 */
function climb(path: readonly Certificate[], search: Climb): readonly Certificate[] | undefined {
  const { budget, furthest, candidates } = search;
  const child = path.at(-1);
  if (child === undefined) return undefined;
  const depth = path.length - 1;
  const issuers = candidates.issuersOf(child);
  let tried = 0;
  for (const candidate of issuers) {
    if (!budget.spend('links')) return undefined;
    const { certificate, anchor } = candidate;
    if (closesLoop(path, candidate)) continue;
    if (anchor && !isAllowed(certificate, search)) continue;
    tried += 1;
    const refused = checkLink(path, candidate, search);
    if (budget.exhausted !== undefined) return undefined;
    if (refused !== undefined) {
      const { refusal, weight } = refused;
      furthest.note(refusal, { depth, weight, promising: candidate.promising });
      continue;
    }
    const longer = [...path, certificate];
    const found = anchor ? endAt(longer, certificate, search) : climb(longer, search);
    if (found !== undefined || budget.exhausted !== undefined) return found;
  }
  if (tried > 0) return undefined;
  const refusal = noIssuer(child, search, depth, issuers.length > 0);
  furthest.note(refusal, { depth, weight: weights.noIssuer, promising: false });
  return undefined;
}

/** At an anchor: what can only be said of a whole path. */
function endAt(
  chain: readonly Certificate[],
  anchor: Certificate,
  search: Climb,
): readonly Certificate[] | undefined {
  const { budget, furthest } = search;
  const refusal = checkPathPolicies(chain, search) ?? checkRevocation(chain, anchor, search);
  if (budget.exhausted !== undefined) return undefined;
  if (refusal === undefined) return chain;
  furthest.note(refusal, { depth: chain.length, weight: weights.proven, promising: true });
  return undefined;
}

function checkPathPolicies(
  chain: readonly Certificate[],
  { request, budget }: Climb,
): PathRefused | undefined {
  const wrong = checkPolicies(chain, request.policies ?? {}, budget);
  if (wrong === undefined) return undefined;
  const [leaf] = chain;
  const subject = leaf === undefined ? '' : certificateText(leaf);
  const detail = `path of certificate "${subject}" is ${wrong}`;
  return { ...denial('ERR_PATH_POLICY', detail, { subject }), subject, depth: 0 };
}

/** Every certificate but the anchor; the links looked already, as far as they could. */
function checkRevocation(
  chain: readonly Certificate[],
  anchor: Certificate,
  { crls }: Climb,
): PathRefused | undefined {
  for (const [depth, certificate] of chain.entries()) {
    const issuer = chain[depth + 1];
    if (issuer === undefined) return undefined;
    const refused = crls.check(certificate, issuer, anchor);
    if (refused !== undefined) return { ...refused, depth };
  }
  return undefined;
}

function isEnd(certificate: Certificate, search: Search): boolean {
  return search.candidates.isAnchor(certificate) && isAllowed(certificate, search);
}

function isAllowed(anchor: Certificate, { onlyAnchor }: Search): boolean {
  return onlyAnchor === undefined || isSameAuthority(anchor, onlyAnchor);
}

function noIssuer(
  certificate: Certificate,
  { request }: Search,
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
