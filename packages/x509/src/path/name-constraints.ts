import { denial } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import type { GeneralSubtree, NameConstraints } from '../extension.ts';
import type { GeneralName, GeneralNameKind } from '../general-name.ts';
import { oids } from '../oids.ts';
import { certificateText, generalNameText } from './certificate-text.ts';
import { isEmptyName } from './compare-names.ts';
import { constraintKindOf } from './constraint-kinds.ts';
import type { PathRefused } from './path-request.ts';
import type { WorkBudget } from './work-budget.ts';

/**
 * Whether every name of `certificate` lies within what `issuer`, a CA somewhere above it, may
 * certify. Whoever builds the path calls this for each certificate below each constrained CA, which
 * together is RFC 5280 §6.1.3 (b) and (c); self-issued certificates other than the leaf are exempt,
 * and the caller leaves them out.
 */
export function checkNameConstraints(
  certificate: Certificate,
  issuer: Certificate,
  budget: WorkBudget,
): PathRefused | undefined {
  if (issuer.nameConstraints === undefined) return undefined;
  const constraints = constraintsByKind(issuer.nameConstraints);
  for (const name of constrainedNames(certificate)) {
    const scope = constraints.get(name.kind);
    const bases = scope === undefined ? 0 : scope.excluded.length + scope.permitted.length;
    // a name that nothing is compared with costs its turn, too
    if (!budget.spend('nameComparisons', 1 + bases)) return undefined;
    const finding = scope === undefined ? undefined : checkName(name, scope);
    if (finding !== undefined) return refusal(certificate, issuer, name, finding);
  }
  return undefined;
}

/** What is wrong with the constraints themselves, or undefined. */
export function malformedConstraint(constraints: NameConstraints): string | undefined {
  // RFC 5280 §4.2.1.10: CAs must not issue name constraints that are an empty sequence
  if (constraints.permitted.length === 0 && constraints.excluded.length === 0) {
    return 'neither a permitted nor an excluded name';
  }
  for (const scope of constraintsByKind(constraints).values()) {
    if (scope.malformed !== undefined)
      return `"${generalNameText(scope.malformed)}" as a constraint`;
  }
  return undefined;
}

/** Why a name may not stand in a certificate below the constraints. */
export type ConstraintFinding =
  /** Of a kind, or in a form, that is not compared: RFC 5280 §4.2.1.10 has it refused. */
  | { readonly kind: 'uncheckable' }
  | { readonly kind: 'excluded'; readonly by: GeneralName }
  | { readonly kind: 'not permitted'; readonly permitted: readonly GeneralName[] };

/** What of the constraints stands against one name, as path validation compares them; undefined where nothing does. */
export function constraintAgainst(
  name: GeneralName,
  constraints: NameConstraints,
): ConstraintFinding | undefined {
  const scope = constraintsByKind(constraints).get(name.kind);
  const finding = scope === undefined ? undefined : checkName(name, scope);
  if (finding?.kind !== 'not permitted') return finding;
  return { kind: 'not permitted', permitted: finding.by.map(({ source }) => source) };
}

interface Scope {
  readonly permitted: Base[];
  readonly excluded: Base[];
  malformed: GeneralName | undefined;
}

interface Base {
  readonly source: GeneralName;
  readonly value: unknown;
}

const scopes = new WeakMap<NameConstraints, ReadonlyMap<GeneralNameKind, Scope>>();

/** Parsed once a certificate: a CA with thousands of constraints is met again and again. */
function constraintsByKind(constraints: NameConstraints): ReadonlyMap<GeneralNameKind, Scope> {
  const known = scopes.get(constraints);
  if (known !== undefined) return known;
  const byKind = new Map<GeneralNameKind, Scope>();
  for (const side of ['permitted', 'excluded'] as const) {
    for (const subtree of constraints[side]) addSubtree(byKind, side, subtree);
  }
  scopes.set(constraints, byKind);
  return byKind;
}

function addSubtree(
  byKind: Map<GeneralNameKind, Scope>,
  side: 'permitted' | 'excluded',
  { base }: GeneralSubtree,
): void {
  const scope = byKind.get(base.kind) ?? { permitted: [], excluded: [], malformed: undefined };
  byKind.set(base.kind, scope);
  const value = constraintKindOf(base.kind)?.parseBase(base);
  if (value === undefined && constraintKindOf(base.kind) !== undefined) scope.malformed ??= base;
  scope[side].push({ source: base, value });
}

const namesOfCertificates = new WeakMap<Certificate, readonly GeneralName[]>();

/**
 * The names that constraints are about: alternative names, the subject, and e-mail addresses in the
 * subject.
 */
function constrainedNames(certificate: Certificate): readonly GeneralName[] {
  const known = namesOfCertificates.get(certificate);
  if (known !== undefined) return known;
  const names = collectNames(certificate);
  namesOfCertificates.set(certificate, names);
  return names;
}

function collectNames(certificate: Certificate): GeneralName[] {
  const names = [...certificate.subjectAltNames];
  if (isEmptyName(certificate.subject)) return names;
  names.push({ kind: 'directory', name: certificate.subject });
  // RFC 5280 §4.2.1.10: without a subjectAltName of that kind, the subject's emailAddress
  // attributes are constrained
  if (names.some((name) => name.kind === 'email')) return names;
  for (const attribute of certificate.subject.rdns.flat()) {
    if (attribute.oid !== oids.emailAddress) continue;
    names.push({ kind: 'email', value: attribute.value ?? '' });
  }
  return names;
}

type Finding =
  | { readonly kind: 'uncheckable' }
  | { readonly kind: 'excluded'; readonly by: GeneralName }
  | { readonly kind: 'not permitted'; readonly by: readonly Base[] };

function checkName(name: GeneralName, scope: Scope): Finding | undefined {
  const row = constraintKindOf(name.kind);
  const parsed = row?.parseName(name);
  // RFC 5280 §4.2.1.10: constraints on a name that is there are processed, or the certificate is
  // refused
  if (row === undefined || parsed === undefined) return { kind: 'uncheckable' };
  const excluded = scope.excluded.find((base) => row.overlaps(parsed, base.value));
  if (excluded !== undefined) return { kind: 'excluded', by: excluded.source };
  if (scope.permitted.length === 0) return undefined;
  if (scope.permitted.some((base) => row.within(parsed, base.value))) return undefined;
  return { kind: 'not permitted', by: scope.permitted };
}

function refusal(
  certificate: Certificate,
  issuer: Certificate,
  name: GeneralName,
  finding: Finding,
): PathRefused {
  const subject = certificateText(certificate);
  const ca = certificateText(issuer);
  const which = `name "${generalNameText(name)}" of certificate "${subject}"`;
  const fields = { subject, name: generalNameText(name), issuer: ca };
  if (finding.kind === 'uncheckable') {
    const detail = `${which} cannot be compared with the "${name.kind}" constraints of "${ca}"`;
    return { ...denial('ERR_NAME_UNCHECKABLE', detail, fields), subject };
  }
  if (finding.kind === 'excluded') {
    const excluded = generalNameText(finding.by);
    const detail = `${which} is excluded by "${ca}": "${excluded}"`;
    return { ...denial('ERR_NAME_EXCLUDED', detail, { ...fields, excluded }), subject };
  }
  const permitted = finding.by.slice(0, 5).map((base) => generalNameText(base.source));
  const more = finding.by.length > 5 ? ` and ${finding.by.length - 5} more` : '';
  const detail = `${which} is not permitted by "${ca}": permitted ${permitted.map((text) => `"${text}"`).join(', ')}${more}`;
  return { ...denial('ERR_NAME_NOT_PERMITTED', detail, { ...fields, permitted }), subject };
}
