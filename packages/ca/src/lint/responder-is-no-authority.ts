import type { LintRule } from './lint-rule.ts';

export const responderIsNoAuthority: LintRule = {
  name: 'responder-is-no-authority',
  about: 'template',
  clause: 'RFC 5280 §4.2.1.9',
  profiles: ['responder'],
  check: ({ basicConstraints, subjectAltNames, subject }) =>
    basicConstraints?.ca !== true && subjectAltNames.length === 0 && subject.rdns.length > 0
      ? undefined
      : 'responder certificate is not an end entity with a subject and nothing else',
};
