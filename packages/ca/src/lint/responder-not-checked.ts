import { oids } from '@countersign/x509';
import type { LintRule } from './lint-rule.ts';

export const responderNotChecked: LintRule = {
  name: 'responder-not-checked',
  about: 'template',
  clause: 'RFC 6960 §4.2.2.2.1',
  profiles: ['responder'],
  check: ({ extensions }) => {
    const found = extensions.find(({ oid }) => oid === oids.ocspNoCheck);
    return found?.critical === false ? undefined : 'ocsp-nocheck is not there and not critical';
  },
};
