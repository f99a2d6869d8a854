import type { LintRule } from './lint-rule.ts';

export const pathLengthShrinks: LintRule = {
  name: 'path-length-shrinks',
  about: 'template',
  clause: 'RFC 5280 §6.1.4 (l), (m)',
  profiles: ['intermediate'],
  check: ({ basicConstraints }, { issuedBy }) => {
    const own = basicConstraints?.pathLen ?? Number.POSITIVE_INFINITY;
    const above = issuedBy?.basicConstraints?.pathLen ?? Number.POSITIVE_INFINITY;
    return own < above ? undefined : `pathLen ${own} below an issuer with ${above}`;
  },
};
