import { constraintAgainst } from '../dns-name.ts';
import type { LintRule } from './lint-rule.ts';

export const nameConstraints: LintRule = {
  name: 'name-constraints',
  about: 'own',
  clause: 'RFC 5280 §4.2.1.10',
  profiles: ['service'],
  check: ({ subjectAltNames }, { constraints }) => {
    for (const name of subjectAltNames) {
      if (name.kind !== 'dns') continue;
      const against = constraintAgainst(constraints, name.value);
      if (against !== undefined) return `name "${name.value}", and the issuer ${against}`;
    }
    return undefined;
  },
};
