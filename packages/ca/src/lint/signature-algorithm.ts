import { equalBytes } from '@countersign/base';
import { everyProfile, type LintRule } from './lint-rule.ts';

export const signatureAlgorithm: LintRule = {
  name: 'signature-algorithm',
  about: 'template',
  clause: 'RFC 5280 §4.1.1.2',
  profiles: everyProfile,
  check: ({ signatureAlgorithm, tbsSignatureAlgorithm }) =>
    equalBytes(signatureAlgorithm.raw, tbsSignatureAlgorithm.raw)
      ? undefined
      : 'signature algorithms inside and outside differ',
};
