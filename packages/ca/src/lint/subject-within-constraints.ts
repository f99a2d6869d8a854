import { linksAgainst } from '../constraints/name-constraints.ts';
import { issuedProfiles, type LintRule } from './lint-rule.ts';

export const subjectWithinConstraints: LintRule = {
  name: 'subject-within-constraints',
  about: 'own',
  clause: 'RFC 5280 §4.2.1.10',
  profiles: issuedProfiles,
  check: ({ subject }, { links }) => {
    if (subject.rdns.length === 0) return undefined;
    const against = linksAgainst(links, { kind: 'directory', name: subject });
    return against === undefined ? undefined : `subject, and the issuer ${against}`;
  },
};
