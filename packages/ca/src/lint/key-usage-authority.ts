import { authorities, type LintRule } from './lint-rule.ts';

export const keyUsageAuthority: LintRule = {
  name: 'key-usage-authority',
  about: 'template',
  clause: 'RFC 5280 §4.2.1.3',
  profiles: authorities,
  check: ({ keyUsage }) =>
    keyUsage?.has('keyCertSign') === true && keyUsage.has('cRLSign') && keyUsage.size === 2
      ? undefined
      : 'key usage of a CA is not keyCertSign and cRLSign',
};
