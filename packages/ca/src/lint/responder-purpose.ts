import type { LintRule } from './lint-rule.ts';

export const responderPurpose: LintRule = {
  name: 'responder-purpose',
  about: 'template',
  clause: 'RFC 6960 §4.2.2.2',
  profiles: ['responder'],
  check: ({ extKeyUsage = [], keyUsage }) =>
    extKeyUsage.join() === 'OCSPSigning' && [...(keyUsage ?? [])].join() === 'digitalSignature'
      ? undefined
      : `extended key usage "${extKeyUsage.join()}" is not OCSPSigning alone`,
};
