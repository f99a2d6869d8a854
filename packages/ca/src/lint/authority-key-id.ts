import { equalBytes } from '@countersign/base';
import { issuedProfiles, type LintRule } from './lint-rule.ts';

export const authorityKeyId: LintRule = {
  name: 'authority-key-id',
  about: 'template',
  clause: 'RFC 5280 §4.2.1.1',
  profiles: issuedProfiles,
  check: ({ authorityKeyId }, { issuedBy }) =>
    authorityKeyId?.keyId !== undefined &&
    issuedBy?.subjectKeyId !== undefined &&
    equalBytes(authorityKeyId.keyId, issuedBy.subjectKeyId)
      ? undefined
      : "authority key identifier is not the issuer's subject key identifier",
};
