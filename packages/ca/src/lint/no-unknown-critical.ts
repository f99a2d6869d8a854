import { everyProfile, type LintRule } from './lint-rule.ts';

export const noUnknownCritical: LintRule = {
  name: 'no-unknown-critical',
  about: 'template',
  clause: 'RFC 5280 §4.2',
  profiles: everyProfile,
  check: ({ unknownCriticalExtensions: [oid] }) =>
    oid === undefined ? undefined : `critical extension "${oid}" that we do not read ourselves`,
};
