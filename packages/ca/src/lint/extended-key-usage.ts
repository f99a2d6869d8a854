import type { LintRule } from './lint-rule.ts';

export const extendedKeyUsage: LintRule = {
  name: 'extended-key-usage',
  about: 'template',
  clause: 'RFC 5280 §4.2.1.12',
  profiles: ['service'],
  check: ({ extKeyUsage = [] }) => {
    if (extKeyUsage.length === 0) return 'extended key usage is missing';
    return extKeyUsage.includes('anyExtendedKeyUsage') ? 'anyExtendedKeyUsage' : undefined;
  },
};
