import { equalBytes } from '@countersign/base';
import { everyProfile, type LintRule } from './lint-rule.ts';

export const subjectKeyId: LintRule = {
  name: 'subject-key-id',
  about: 'own',
  clause: 'RFC 5280 §4.2.1.2',
  profiles: everyProfile,
  check: ({ subjectKeyId }, { keyId }) =>
    subjectKeyId !== undefined && equalBytes(subjectKeyId, keyId)
      ? undefined
      : 'subject key identifier is not that of the key',
};
