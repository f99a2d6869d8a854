import type { LintRule } from './lint-rule.ts';

export const keyUsageService: LintRule = {
  name: 'key-usage-service',
  about: 'template',
  clause: 'X509-SVID §4.3',
  profiles: ['service'],
  check: ({ keyUsage }) =>
    keyUsage?.has('digitalSignature') === true &&
    !keyUsage.has('keyCertSign') &&
    !keyUsage.has('cRLSign')
      ? undefined
      : `key usage ${[...(keyUsage ?? [])].join(', ')} is none of a service`,
};
