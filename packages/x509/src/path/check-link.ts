import { denial, equalBytes } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import { type Candidate, keyIdRank } from './candidate-issuers.ts';
import { certificateText } from './certificate-text.ts';
import { type CertificateRole, checkCertificate, isSelfIssued } from './check-certificate.ts';
import type { CrlChecks } from './check-crl.ts';
import { sameName } from './compare-names.ts';
import { weights } from './furthest-refusal.ts';
import { checkNameConstraints } from './name-constraints.ts';
import type { PathPurpose, PathRefused, PathRequest } from './path-request.ts';
import type { SignatureChecks } from './signature-checks.ts';
import type { WorkBudget } from './work-budget.ts';

/** What one validation carries along. */
export interface LinkContext {
  readonly request: PathRequest;
  readonly budget: WorkBudget;
  readonly signatures: SignatureChecks;
  readonly crls: CrlChecks;
  /** Verdicts on single certificates, which do not depend on the path. */
  readonly verdicts: Map<Certificate, PathRefused | undefined>;
}

export interface LinkRefused {
  readonly refusal: PathRefused;
  readonly weight: number;
}

/**
 * Whether `candidate` may stand above `path` (leaf first, never empty): it is sound as a CA,
 * everything below keeps within its limits, and it has signed the last of the path. Cheap rules
 * first, the signature last. The budget must be looked at before the answer is believed.
 */
export function checkLink(
  path: readonly Certificate[],
  candidate: Candidate,
  context: LinkContext,
): LinkRefused | undefined {
  const issuer = candidate.certificate;
  const child = path.at(-1);
  if (child === undefined) return undefined;
  // a candidate with another key identifier is likely a namesake, and its faults are not the reason
  const weight = keyIdRank(child, issuer) === 2 ? weights.namesake : weights.rule;
  const refusal =
    verdictOn(issuer, candidate.anchor ? 'anchor' : 'issuer', context) ??
    checkPurpose(issuer, context.request.purpose) ??
    checkPathLength(path, issuer) ??
    checkDepth(path, candidate, context.request.maxDepth) ??
    checkNamesBelow(path, issuer, context.budget);
  if (refusal !== undefined) return { refusal: at(refusal, path.length), weight };
  if (!context.signatures.verify(child, issuer.spki))
    return badSignature(child, issuer, path.length);
  const revoked = context.crls.check(child, issuer, candidate.anchor ? issuer : undefined);
  if (revoked === undefined) return undefined;
  return { refusal: at(revoked, path.length - 1), weight: weights.proven };
}

/**
 * RFC 4158 §2.4.2: the same name and key twice on a path is a loop, whatever else the certificates
 * say.
 */
export function closesLoop(
  path: readonly Certificate[],
  { certificate, anchor }: Candidate,
): boolean {
  if (anchor) return false;
  return path.some(
    (member) =>
      sameName(member.subject, certificate.subject) &&
      equalBytes(member.spki.raw, certificate.spki.raw),
  );
}

// RFC 5280 §4.2.1.12, and the practice that a CA's own list bounds what it issues
export function checkPurpose(
  certificate: Certificate,
  purpose: PathPurpose | undefined,
): PathRefused | undefined {
  const { extKeyUsage } = certificate;
  if (purpose === undefined || extKeyUsage === undefined) return undefined;
  const wanted = purpose === 'server' ? 'serverAuth' : 'clientAuth';
  if (extKeyUsage.includes(wanted) || extKeyUsage.includes('anyExtendedKeyUsage')) return undefined;
  const subject = certificateText(certificate);
  const listed = extKeyUsage.slice(0, 10);
  const detail = `certificate "${subject}" allows ${listed.join(', ')}, purpose "${purpose}" needs ${wanted}`;
  return {
    ...denial('ERR_CERT_PURPOSE', detail, { subject, extKeyUsage: listed, wanted }),
    subject,
  };
}

function verdictOn(
  certificate: Certificate,
  role: CertificateRole,
  { verdicts, request }: LinkContext,
): PathRefused | undefined {
  if (verdicts.has(certificate)) return verdicts.get(certificate);
  const verdict = checkCertificate(certificate, role, request.at);
  verdicts.set(certificate, verdict);
  return verdict;
}

// RFC 5280 §4.2.1.9: intermediates that are not self-issued and follow this CA; the leaf is no
// intermediate
function checkPathLength(
  path: readonly Certificate[],
  issuer: Certificate,
): PathRefused | undefined {
  const allowed = issuer.basicConstraints?.pathLen;
  if (allowed === undefined) return undefined;
  const below = countIntermediates(path);
  if (below <= allowed) return undefined;
  const subject = certificateText(issuer);
  const detail = `certificate "${subject}" allows ${allowed} intermediates below it, the path has ${below}`;
  return { ...denial('ERR_PATH_LENGTH', detail, { subject, allowed, below }), subject };
}

function checkDepth(
  path: readonly Certificate[],
  { certificate, anchor }: Candidate,
  maxDepth: number | undefined,
): PathRefused | undefined {
  if (maxDepth === undefined) return undefined;
  const depth = countIntermediates(path) + (anchor || isSelfIssued(certificate) ? 0 : 1);
  if (depth <= maxDepth) return undefined;
  const subject = certificateText(certificate);
  const detail = `certificate "${subject}" would be intermediate ${depth}, at most ${maxDepth} are allowed`;
  return { ...denial('ERR_PATH_DEPTH', detail, { subject, depth, maxDepth }), subject };
}

function countIntermediates(path: readonly Certificate[]): number {
  return path.slice(1).filter((certificate) => !isSelfIssued(certificate)).length;
}

// RFC 5280 §6.1.3 (b), (c): for all below but self-issued intermediates
function checkNamesBelow(
  path: readonly Certificate[],
  issuer: Certificate,
  budget: WorkBudget,
): PathRefused | undefined {
  if (issuer.nameConstraints === undefined) return undefined;
  for (const [depth, certificate] of path.entries()) {
    if (depth > 0 && isSelfIssued(certificate)) continue;
    const refused = checkNameConstraints(certificate, issuer, budget);
    if (refused !== undefined) return { ...refused, depth };
  }
  return undefined;
}

function badSignature(child: Certificate, issuer: Certificate, depth: number): LinkRefused {
  const subject = certificateText(child);
  const named = keyIdRank(child, issuer) === 0;
  const why = named ? 'whose key identifier it names' : 'of that name';
  const detail = `certificate "${subject}" has a signature that does not verify with the key of "${certificateText(issuer)}" ${why}`;
  const refusal = {
    ...denial('ERR_PATH_SIGNATURE', detail, { subject }),
    subject,
    depth: depth - 1,
  };
  return { refusal, weight: named ? weights.rule : weights.namesake };
}

function at(refusal: PathRefused, depth: number): PathRefused {
  return refusal.depth === undefined ? { ...refusal, depth } : refusal;
}
