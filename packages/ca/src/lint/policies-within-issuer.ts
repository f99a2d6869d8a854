import { equalBytes } from '@countersign/base';
import { oids } from '@countersign/x509';
import type { LintRule } from './lint-rule.ts';

export const policiesWithinIssuer: LintRule = {
  name: 'policies-within-issuer',
  about: 'template',
  clause: 'RFC 5280 §6.1.3 (d)',
  profiles: ['intermediate', 'service'],
  check: ({ certificatePolicies = [] }, { issuedBy }) => {
    // A root asserts nothing and is not asked: path validation begins below it.
    if (issuedBy === undefined || equalBytes(issuedBy.subject.raw, issuedBy.issuer.raw)) {
      return undefined;
    }
    const above = (issuedBy.certificatePolicies ?? []).map(({ oid }) => oid);
    if (above.includes(oids.anyPolicy)) return undefined;
    const lacking = certificatePolicies.find(({ oid }) => !above.includes(oid));
    return lacking === undefined ? undefined : `policy "${lacking.oid}" that the issuer lacks`;
  },
};
