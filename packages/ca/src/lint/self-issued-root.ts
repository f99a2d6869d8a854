import { equalBytes } from '@countersign/base';
import type { LintRule } from './lint-rule.ts';

export const selfIssuedRoot: LintRule = {
  name: 'self-issued-root',
  about: 'template',
  clause: 'RFC 5280 §3.2',
  profiles: ['root'],
  check: ({ issuer, subject }) =>
    equalBytes(issuer.raw, subject.raw) ? undefined : 'issuer of the root is not its subject',
};
