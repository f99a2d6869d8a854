import { authorities, type LintRule } from './lint-rule.ts';

export const authorityHasSubject: LintRule = {
  name: 'authority-has-subject',
  about: 'template',
  clause: 'RFC 5280 §4.1.2.6',
  profiles: authorities,
  check: ({ subject }) => (subject.rdns.length > 0 ? undefined : 'subject of a CA is empty'),
};
