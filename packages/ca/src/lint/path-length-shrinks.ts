import { equalBytes } from '@countersign/base';
import type { LintRule } from './lint-rule.ts';

export const pathLengthShrinks: LintRule = {
  name: 'path-length-shrinks',
  about: 'template',
  clause: 'RFC 5280 §6.1.4 (l), (m)',
  profiles: ['intermediate'],
  check: ({ basicConstraints, subject }, { issuedBy }) => {
    const own = basicConstraints?.pathLen ?? Number.POSITIVE_INFINITY;
    const above = issuedBy?.basicConstraints?.pathLen ?? Number.POSITIVE_INFINITY;
    // A root by the root before it: self-issued, it takes nothing of the length that is left.
    const isSelfIssued = issuedBy !== undefined && equalBytes(subject.raw, issuedBy.subject.raw);
    return own < above || (isSelfIssued && own === above)
      ? undefined
      : `pathLen ${own} below an issuer with ${above}`;
  },
};
