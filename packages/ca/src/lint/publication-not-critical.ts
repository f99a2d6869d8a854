import { oids } from '@countersign/x509';
import { issuedProfiles, type LintRule } from './lint-rule.ts';

const pointers: readonly string[] = [
  oids.crlDistributionPoints,
  oids.freshestCrl,
  oids.authorityInfoAccess,
];

export const publicationNotCritical: LintRule = {
  name: 'publication-not-critical',
  about: 'template',
  clause: 'RFC 5280 §4.2.1.13, §4.2.1.15, §4.2.2.1',
  profiles: issuedProfiles,
  check: ({ extensions }) => {
    const critical = extensions.find((each) => each.critical && pointers.includes(each.oid));
    return critical === undefined ? undefined : `critical extension "${critical.oid}"`;
  },
};
