import { oids } from '@countersign/x509';
import { everyProfile, isCritical, type LintRule } from './lint-rule.ts';

export const keyUsageCritical: LintRule = {
  name: 'key-usage-critical',
  about: 'template',
  clause: 'RFC 5280 §4.2.1.3',
  profiles: everyProfile,
  check: (certificate) =>
    isCritical(certificate, oids.keyUsage) ? undefined : 'keyUsage is not there and critical',
};
