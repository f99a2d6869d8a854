import { issuedProfiles, type LintRule } from './lint-rule.ts';

export const validityWithinIssuer: LintRule = {
  name: 'validity-within-issuer',
  about: 'own',
  clause: 'RFC 5280 §6.1.3 (a)(2)',
  profiles: issuedProfiles,
  check: (certificate, { issuedBy }) =>
    issuedBy !== undefined &&
    issuedBy.notBefore <= certificate.notBefore &&
    certificate.notAfter <= issuedBy.notAfter
      ? undefined
      : `${span(certificate.notBefore, certificate.notAfter)} is not within the issuer's`,
};

function span(notBefore: number, notAfter: number): string {
  return `${new Date(notBefore).toISOString()} to ${new Date(notAfter).toISOString()}`;
}
