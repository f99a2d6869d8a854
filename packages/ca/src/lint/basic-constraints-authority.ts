import { authorities, type LintRule } from './lint-rule.ts';

export const basicConstraintsAuthority: LintRule = {
  name: 'basic-constraints-authority',
  about: 'template',
  clause: 'RFC 5280 §4.2.1.9',
  profiles: authorities,
  check: ({ basicConstraints: basic }) =>
    basic?.ca === true && basic.critical && basic.pathLen !== undefined
      ? undefined
      : 'basicConstraints of a CA is not critical with CA flag and pathLen',
};
