import { everyProfile, type LintRule } from './lint-rule.ts';

export const validityOrder: LintRule = {
  name: 'validity-order',
  about: 'own',
  clause: 'RFC 5280 §4.1.2.5',
  profiles: everyProfile,
  check: ({ notBefore, notAfter }) =>
    notBefore < notAfter ? undefined : `${span(notBefore, notAfter)} is no period`,
};

function span(notBefore: number, notAfter: number): string {
  return `${new Date(notBefore).toISOString()} to ${new Date(notAfter).toISOString()}`;
}
