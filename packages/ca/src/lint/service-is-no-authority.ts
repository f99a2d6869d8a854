import type { LintRule } from './lint-rule.ts';

export const serviceIsNoAuthority: LintRule = {
  name: 'service-is-no-authority',
  about: 'template',
  clause: 'X509-SVID §4.1',
  profiles: ['service'],
  check: ({ basicConstraints }) =>
    basicConstraints?.ca === true ? 'CA flag in a service certificate' : undefined,
};
