import { type Certificate, oids } from '@countersign/x509';
import type { Profile } from '../draft.ts';
import type { LintRule } from '../lint-rules.ts';

const issued: readonly Profile[] = ['intermediate', 'service', 'responder'];
const responders: readonly Profile[] = ['responder'];
const pointers: readonly string[] = [
  oids.crlDistributionPoints,
  oids.freshestCrl,
  oids.authorityInfoAccess,
];

/** Of what certificates say about revocation, and of the responder's own. */
export const publicationRules: readonly LintRule[] = [
  {
    name: 'publication-not-critical',
    about: 'template',
    clause: 'RFC 5280 §4.2.1.13, §4.2.1.15, §4.2.2.1',
    profiles: issued,
    check: ({ extensions }) => {
      const critical = extensions.find((each) => each.critical && pointers.includes(each.oid));
      return critical === undefined ? undefined : `critical extension "${critical.oid}"`;
    },
  },
  {
    name: 'publication-over-plain-http',
    about: 'template',
    clause: 'RFC 5280 §8',
    profiles: issued,
    check: (certificate) => {
      const other = addressesOf(certificate).find((address) => !address.startsWith('http://'));
      return other === undefined ? undefined : `address "${other}" is not plain http`;
    },
  },
  {
    name: 'responder-purpose',
    about: 'template',
    clause: 'RFC 6960 §4.2.2.2',
    profiles: responders,
    check: ({ extKeyUsage = [], keyUsage }) =>
      extKeyUsage.join() === 'OCSPSigning' && [...(keyUsage ?? [])].join() === 'digitalSignature'
        ? undefined
        : `extended key usage "${extKeyUsage.join()}" is not OCSPSigning alone`,
  },
  {
    name: 'responder-not-checked',
    about: 'template',
    clause: 'RFC 6960 §4.2.2.2.1',
    profiles: responders,
    check: ({ extensions }) => {
      const found = extensions.find(({ oid }) => oid === oids.ocspNoCheck);
      return found?.critical === false ? undefined : 'ocsp-nocheck is not there and not critical';
    },
  },
  {
    name: 'responder-is-no-authority',
    about: 'template',
    clause: 'RFC 5280 §4.2.1.9',
    profiles: responders,
    check: ({ basicConstraints, subjectAltNames, subject }) =>
      basicConstraints?.ca !== true && subjectAltNames.length === 0 && subject.rdns.length > 0
        ? undefined
        : 'responder certificate is not an end entity with a subject and nothing else',
  },
];

function addressesOf(certificate: Certificate): string[] {
  const points = [
    ...(certificate.crlDistributionPoints ?? []),
    ...(certificate.freshestCrl ?? []),
  ].flatMap(({ fullName }) => fullName);
  const access = (certificate.authorityInfoAccess ?? []).map(({ location }) => location);
  return [...points, ...access].map((name) => (name.kind === 'uri' ? name.value : name.kind));
}
