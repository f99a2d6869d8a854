import { oids } from '@countersign/x509';
import { isCritical, type LintRule } from './lint-rule.ts';

export const nameConstraintsCritical: LintRule = {
  name: 'name-constraints-critical',
  about: 'template',
  clause: 'RFC 5280 §4.2.1.10',
  profiles: ['intermediate'],
  check: (certificate) =>
    certificate.nameConstraints === undefined || isCritical(certificate, oids.nameConstraints)
      ? undefined
      : 'nameConstraints is not critical',
};
