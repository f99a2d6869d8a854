import { equalBytes } from '@countersign/base';
import { everyProfile, type LintRule } from './lint-rule.ts';

export const keyAsAsked: LintRule = {
  name: 'key-as-asked',
  about: 'own',
  clause: 'RFC 5280 §4.1.2.7',
  profiles: everyProfile,
  check: ({ spki }, draft) =>
    equalBytes(spki.raw, draft.spki.raw) ? undefined : 'public key is not that of the draft',
};
