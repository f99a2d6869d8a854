import { isServiceKeyType, isUsageOf } from '../key-usage-by-kind.ts';
import type { LintRule } from './lint-rule.ts';

export const keyUsageOfKind: LintRule = {
  name: 'key-usage-of-kind',
  about: 'template',
  clause: 'RFC 8813 §3, RFC 8410 §5',
  profiles: ['service'],
  check: ({ keyUsage }, { kind }) => {
    if (!isServiceKeyType(kind.type)) return 'key of no kind for services';
    for (const usage of keyUsage ?? []) {
      if (!isUsageOf(kind.type, usage)) return `${usage} with a key that cannot do that`;
    }
    return undefined;
  },
};
