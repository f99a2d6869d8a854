import { oids } from '@countersign/x509';
import { isCritical, type LintRule } from './lint-rule.ts';

export const alternativeNames: LintRule = {
  name: 'alternative-names',
  about: 'template',
  clause: 'RFC 5280 §4.2.1.6',
  profiles: ['service'],
  check: (certificate) => {
    if (certificate.subjectAltNames.length === 0) return 'no subject alternative name';
    const critical = isCritical(certificate, oids.subjectAltName);
    const empty = certificate.subject.rdns.length === 0;
    return critical === empty
      ? undefined
      : `subjectAltName is ${critical ? 'critical beside a' : 'not critical without a'} subject`;
  },
};
