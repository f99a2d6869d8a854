import { formatGeneralName } from '@countersign/x509';
import { linksAgainst } from '../constraints/name-constraints.ts';
import type { LintRule } from './lint-rule.ts';

export const nameConstraints: LintRule = {
  name: 'name-constraints',
  about: 'own',
  clause: 'RFC 5280 §4.2.1.10, §6.1.3 (b), (c)',
  profiles: ['intermediate', 'service'],
  check: ({ subjectAltNames }, { links }) => {
    for (const name of subjectAltNames) {
      const against = linksAgainst(links, name);
      if (against !== undefined) {
        return `name "${formatGeneralName(name)}", and the issuer ${against}`;
      }
    }
    return undefined;
  },
};
