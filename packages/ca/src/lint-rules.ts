import { equalBytes } from '@countersign/base';
import {
  type Certificate,
  formatGeneralName,
  type GeneralName,
  judgeKey,
  oids,
} from '@countersign/x509';
import { constraintAgainst, parseDnsName } from './dns-name.ts';
import type { Draft, Profile } from './draft.ts';
import { isServiceKeyType, isUsageOf } from './key-usage-by-kind.ts';
import { publicationRules } from './publish/publication-rules.ts';

/** What is a certificate's own, and not the same in all that are made from one template. */
export type OwnPart = Pick<
  Certificate,
  'notBefore' | 'notAfter' | 'subjectAltNames' | 'subjectKeyId' | 'spki'
>;

/** `check` answers what is wrong, with both sides, or undefined. */
export type LintRule = {
  readonly name: string;
  readonly clause: string;
  readonly profiles: readonly Profile[];
} & (
  | {
      /** About what a template fixes: checked on a certificate that was read back from its bytes. */
      readonly about: 'template';
      check(certificate: Certificate, draft: Draft): string | undefined;
    }
  | {
      /** About what is a certificate's own: checked on each. */
      readonly about: 'own';
      check(own: OwnPart, draft: Draft): string | undefined;
    }
);

const all: readonly Profile[] = ['root', 'intermediate', 'service', 'responder'];
const authorities: readonly Profile[] = ['root', 'intermediate'];
const issued: readonly Profile[] = ['intermediate', 'service', 'responder'];
const services: readonly Profile[] = ['service'];

/** Our own profile of RFC 5280, RFC 8813 and X509-SVID: a row a rule. */
export const lintRules: readonly LintRule[] = [
  {
    name: 'version',
    about: 'template',
    clause: 'RFC 5280 §4.1.2.1',
    profiles: all,
    check: ({ version }) => (version === 3 ? undefined : `version ${version}, 3 is needed`),
  },
  {
    name: 'serial',
    about: 'template',
    clause: 'RFC 5280 §4.1.2.2',
    profiles: all,
    check: ({ serial }) =>
      serial.byteLength === 20 && serial[0] === 1 ? undefined : 'serial place is not of 20 octets',
  },
  {
    name: 'signature-algorithm',
    about: 'template',
    clause: 'RFC 5280 §4.1.1.2',
    profiles: all,
    check: ({ signatureAlgorithm, tbsSignatureAlgorithm }) =>
      equalBytes(signatureAlgorithm.raw, tbsSignatureAlgorithm.raw)
        ? undefined
        : 'signature algorithms inside and outside differ',
  },
  {
    name: 'validity-order',
    about: 'own',
    clause: 'RFC 5280 §4.1.2.5',
    profiles: all,
    check: ({ notBefore, notAfter }) =>
      notBefore < notAfter ? undefined : `${span(notBefore, notAfter)} is no period`,
  },
  {
    name: 'validity-within-issuer',
    about: 'own',
    clause: 'RFC 5280 §6.1.3 (a)(2)',
    profiles: issued,
    check: (certificate, { issuedBy }) =>
      issuedBy !== undefined &&
      issuedBy.notBefore <= certificate.notBefore &&
      certificate.notAfter <= issuedBy.notAfter
        ? undefined
        : `${span(certificate.notBefore, certificate.notAfter)} is not within the issuer's`,
  },
  {
    name: 'issuer-name',
    about: 'template',
    clause: 'RFC 5280 §4.1.2.4',
    profiles: issued,
    check: ({ issuer }, { issuedBy }) =>
      issuedBy !== undefined && equalBytes(issuer.raw, issuedBy.subject.raw)
        ? undefined
        : 'issuer name is not the subject of the issuer',
  },
  {
    name: 'self-issued-root',
    about: 'template',
    clause: 'RFC 5280 §3.2',
    profiles: ['root'],
    check: ({ issuer, subject }) =>
      equalBytes(issuer.raw, subject.raw) ? undefined : 'issuer of the root is not its subject',
  },
  {
    name: 'authority-has-subject',
    about: 'template',
    clause: 'RFC 5280 §4.1.2.6',
    profiles: authorities,
    check: ({ subject }) => (subject.rdns.length > 0 ? undefined : 'subject of a CA is empty'),
  },
  {
    name: 'key',
    about: 'own',
    clause: 'NIST SP 800-131A',
    profiles: all,
    check: (_, { spki, kind }) => {
      const judged = judgeKey(spki);
      if (!judged.ok) return judged.detail;
      return judged.kind.type === kind.type ? undefined : 'key is not of the kind of the draft';
    },
  },
  {
    name: 'key-as-asked',
    about: 'own',
    clause: 'RFC 5280 §4.1.2.7',
    profiles: all,
    check: ({ spki }, draft) =>
      equalBytes(spki.raw, draft.spki.raw) ? undefined : 'public key is not that of the draft',
  },
  {
    name: 'no-unknown-critical',
    about: 'template',
    clause: 'RFC 5280 §4.2',
    profiles: all,
    check: ({ unknownCriticalExtensions: [oid] }) =>
      oid === undefined ? undefined : `critical extension "${oid}" that we do not read ourselves`,
  },
  {
    name: 'basic-constraints-authority',
    about: 'template',
    clause: 'RFC 5280 §4.2.1.9',
    profiles: authorities,
    check: ({ basicConstraints: basic }) =>
      basic?.ca === true && basic.critical && basic.pathLen !== undefined
        ? undefined
        : 'basicConstraints of a CA is not critical with CA flag and pathLen',
  },
  {
    name: 'path-length-shrinks',
    about: 'template',
    clause: 'RFC 5280 §6.1.4 (l), (m)',
    profiles: ['intermediate'],
    check: ({ basicConstraints }, { issuedBy }) => {
      const own = basicConstraints?.pathLen ?? Number.POSITIVE_INFINITY;
      const above = issuedBy?.basicConstraints?.pathLen ?? Number.POSITIVE_INFINITY;
      return own < above ? undefined : `pathLen ${own} below an issuer with ${above}`;
    },
  },
  {
    name: 'service-is-no-authority',
    about: 'template',
    clause: 'X509-SVID §4.1',
    profiles: services,
    check: ({ basicConstraints }) =>
      basicConstraints?.ca === true ? 'CA flag in a service certificate' : undefined,
  },
  {
    name: 'key-usage-critical',
    about: 'template',
    clause: 'RFC 5280 §4.2.1.3',
    profiles: all,
    check: (certificate) =>
      isCritical(certificate, oids.keyUsage) ? undefined : 'keyUsage is not there and critical',
  },
  {
    name: 'key-usage-authority',
    about: 'template',
    clause: 'RFC 5280 §4.2.1.3',
    profiles: authorities,
    check: ({ keyUsage }) =>
      keyUsage?.has('keyCertSign') === true && keyUsage.has('cRLSign') && keyUsage.size === 2
        ? undefined
        : 'key usage of a CA is not keyCertSign and cRLSign',
  },
  {
    name: 'key-usage-service',
    about: 'template',
    clause: 'X509-SVID §4.3',
    profiles: services,
    check: ({ keyUsage }) =>
      keyUsage?.has('digitalSignature') === true &&
      !keyUsage.has('keyCertSign') &&
      !keyUsage.has('cRLSign')
        ? undefined
        : `key usage ${[...(keyUsage ?? [])].join(', ')} is none of a service`,
  },
  {
    name: 'key-usage-of-kind',
    about: 'template',
    clause: 'RFC 8813 §3, RFC 8410 §5',
    profiles: services,
    check: ({ keyUsage }, { kind }) => {
      if (!isServiceKeyType(kind.type)) return 'key of no kind for services';
      for (const usage of keyUsage ?? []) {
        if (!isUsageOf(kind.type, usage)) return `${usage} with a key that cannot do that`;
      }
      return undefined;
    },
  },
  {
    name: 'extended-key-usage',
    about: 'template',
    clause: 'RFC 5280 §4.2.1.12',
    profiles: services,
    check: ({ extKeyUsage = [] }) => {
      if (extKeyUsage.length === 0) return 'extended key usage is missing';
      return extKeyUsage.includes('anyExtendedKeyUsage') ? 'anyExtendedKeyUsage' : undefined;
    },
  },
  {
    name: 'alternative-names',
    about: 'template',
    clause: 'RFC 5280 §4.2.1.6',
    profiles: services,
    check: (certificate) => {
      if (certificate.subjectAltNames.length === 0) return 'no subject alternative name';
      const critical = isCritical(certificate, oids.subjectAltName);
      const empty = certificate.subject.rdns.length === 0;
      return critical === empty
        ? undefined
        : `subjectAltName is ${critical ? 'critical beside a' : 'not critical without a'} subject`;
    },
  },
  {
    name: 'alternative-name-forms',
    about: 'own',
    clause: 'RFC 5280 §4.2.1.6, X509-SVID §2',
    profiles: services,
    check: ({ subjectAltNames }) => {
      let uris = 0;
      for (const name of subjectAltNames) {
        if (!isFormOfOurs(name)) return `name "${formatGeneralName(name)}"`;
        if (name.kind === 'uri') uris += 1;
      }
      return uris > 1 ? `${uris} URIs, an SVID has one` : undefined;
    },
  },
  {
    name: 'name-constraints',
    about: 'own',
    clause: 'RFC 5280 §4.2.1.10',
    profiles: services,
    check: ({ subjectAltNames }, { constraints }) => {
      for (const name of subjectAltNames) {
        if (name.kind !== 'dns') continue;
        const against = constraintAgainst(constraints, name.value);
        if (against !== undefined) return `name "${name.value}", and the issuer ${against}`;
      }
      return undefined;
    },
  },
  {
    name: 'name-constraints-critical',
    about: 'template',
    clause: 'RFC 5280 §4.2.1.10',
    profiles: ['intermediate'],
    check: (certificate) =>
      certificate.nameConstraints === undefined || isCritical(certificate, oids.nameConstraints)
        ? undefined
        : 'nameConstraints is not critical',
  },
  {
    name: 'subject-key-id',
    about: 'own',
    clause: 'RFC 5280 §4.2.1.2',
    profiles: all,
    check: ({ subjectKeyId }, { keyId }) =>
      subjectKeyId !== undefined && equalBytes(subjectKeyId, keyId)
        ? undefined
        : 'subject key identifier is not that of the key',
  },
  {
    name: 'authority-key-id',
    about: 'template',
    clause: 'RFC 5280 §4.2.1.1',
    profiles: issued,
    check: ({ authorityKeyId }, { issuedBy }) =>
      authorityKeyId?.keyId !== undefined &&
      issuedBy?.subjectKeyId !== undefined &&
      equalBytes(authorityKeyId.keyId, issuedBy.subjectKeyId)
        ? undefined
        : "authority key identifier is not the issuer's subject key identifier",
  },
  ...publicationRules,
];

function isFormOfOurs(name: GeneralName): boolean {
  if (name.kind === 'ip') return name.bytes.byteLength === 4 || name.bytes.byteLength === 16;
  if (name.kind === 'dns') {
    const read = parseDnsName(name.value);
    return read.ok && read.name === name.value;
  }
  return name.kind === 'uri' && name.value.startsWith('spiffe://');
}

function isCritical(certificate: Pick<Certificate, 'extensions'>, oid: string): boolean {
  return certificate.extensions.some((each) => each.oid === oid && each.critical);
}

function span(notBefore: number, notAfter: number): string {
  return `${new Date(notBefore).toISOString()} to ${new Date(notAfter).toISOString()}`;
}
