import { judgeKeyWith } from '../requests/trial-keys.ts';
import { everyProfile, type LintRule } from './lint-rule.ts';

export const key: LintRule = {
  name: 'key',
  about: 'own',
  clause: 'NIST SP 800-131A',
  profiles: everyProfile,
  check: (_, { spki, kind, trialKeys }) => {
    const judged = judgeKeyWith(trialKeys, spki);
    if (!judged.ok) return judged.detail;
    return judged.kind.type === kind.type ? undefined : 'key is not of the kind of the draft';
  },
};
