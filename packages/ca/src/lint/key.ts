import { judgeKey } from '@countersign/x509';
import { everyProfile, type LintRule } from './lint-rule.ts';

export const key: LintRule = {
  name: 'key',
  about: 'own',
  clause: 'NIST SP 800-131A',
  profiles: everyProfile,
  check: (_, { spki, kind }) => {
    const judged = judgeKey(spki);
    if (!judged.ok) return judged.detail;
    return judged.kind.type === kind.type ? undefined : 'key is not of the kind of the draft';
  },
};
