import { equalBytes } from '@countersign/base';
import { issuedProfiles, type LintRule } from './lint-rule.ts';

export const issuerName: LintRule = {
  name: 'issuer-name',
  about: 'template',
  clause: 'RFC 5280 §4.1.2.4',
  profiles: issuedProfiles,
  check: ({ issuer }, { issuedBy }) =>
    issuedBy !== undefined && equalBytes(issuer.raw, issuedBy.subject.raw)
      ? undefined
      : 'issuer name is not the subject of the issuer',
};
