import type { Certificate } from '@countersign/x509';
import { issuedProfiles, type LintRule } from './lint-rule.ts';

export const publicationOverPlainHttp: LintRule = {
  name: 'publication-over-plain-http',
  about: 'template',
  clause: 'RFC 5280 §8',
  profiles: issuedProfiles,
  check: (certificate) => {
    const other = addressesOf(certificate).find((address) => !address.startsWith('http://'));
    return other === undefined ? undefined : `address "${other}" is not plain http`;
  },
};

function addressesOf(certificate: Certificate): string[] {
  const points = [
    ...(certificate.crlDistributionPoints ?? []),
    ...(certificate.freshestCrl ?? []),
  ].flatMap(({ fullName }) => fullName);
  const access = (certificate.authorityInfoAccess ?? []).map(({ location }) => location);
  return [...points, ...access].map((name) => (name.kind === 'uri' ? name.value : name.kind));
}
