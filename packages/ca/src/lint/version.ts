import { everyProfile, type LintRule } from './lint-rule.ts';

export const version: LintRule = {
  name: 'version',
  about: 'template',
  clause: 'RFC 5280 §4.1.2.1',
  profiles: everyProfile,
  check: ({ version }) => (version === 3 ? undefined : `version ${version}, 3 is needed`),
};
