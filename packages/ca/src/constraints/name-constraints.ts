import {
  type Certificate,
  constraintAgainst,
  formatGeneralName,
  type GeneralName,
  type NameConstraints,
} from '@countersign/x509';
import { quotedList } from '../dns-name.ts';

export const noConstraints: NameConstraints = { permitted: [], excluded: [] };

/** Of a certificate; none constrain nothing. */
export function constraintsOf({ nameConstraints }: Certificate): NameConstraints {
  return nameConstraints ?? noConstraints;
}

export function isConstrained({ permitted, excluded }: NameConstraints): boolean {
  return permitted.length + excluded.length > 0;
}

/**
 * Why a chain does not admit a name, as a fragment with both sides; undefined where every link admits it. As path
 * validation has it: a link permits names of the kinds that it names, and all of other kinds.
 */
export function linksAgainst(
  links: readonly NameConstraints[],
  name: GeneralName,
): string | undefined {
  for (const link of links) {
    if (!isConstrained(link)) continue;
    const finding = constraintAgainst(name, link);
    if (finding === undefined) continue;
    if (finding.kind === 'uncheckable') return `cannot compare "${formatGeneralName(name)}"`;
    if (finding.kind === 'excluded') return `excludes "${formatConstraint(finding.by)}"`;
    return `permits ${quotedList(finding.permitted.map(formatConstraint))} only`;
  }
  return undefined;
}

/** A DNS name as it is, others as `ip:10.0.0.0/8`, `uri:.example.com`, `email:…`, `directory:…`. */
export function formatConstraint(name: GeneralName): string {
  return name.kind === 'dns' ? name.value : formatGeneralName(name);
}

export function formatConstraints(
  constraints: NameConstraints,
  side: 'permitted' | 'excluded',
): string {
  return quotedList(constraints[side].map(({ base }) => formatConstraint(base)));
}

/** The DNS names of one side. */
export function dnsOf(constraints: NameConstraints, side: 'permitted' | 'excluded'): string[] {
  return constraints[side].flatMap(({ base }) => (base.kind === 'dns' ? [base.value] : []));
}
