import {
  buildName,
  type Certificate,
  type CertificateTemplate,
  type Extension,
  extension,
  type KeyKind,
  keyIdOf,
  type Name,
  type NameAttribute,
  type SubjectPublicKeyInfo,
} from '@countersign/x509';
import type { AuthorityCertificateConfig, IntermediateConfig, ServiceConfig } from './ca-config.ts';
import { alternativesOf, type CertificateNames } from './certificate-names.ts';
import { serviceKeyTypes, usagesFor } from './key-usage-by-kind.ts';

export type Profile = 'root' | 'intermediate' | 'service';

/** A certificate but for its serial number, which the ledger gives. */
export interface Draft extends Omit<CertificateTemplate, 'serial'> {
  readonly profile: Profile;
  /** Of the key (RFC 5280 §4.2.1.2). */
  readonly keyId: Uint8Array;
  /** Undefined for the root, which vouches for itself. */
  readonly issuedBy: Certificate | undefined;
}

interface AuthorityDraftFacts {
  readonly trustDomain: string;
  readonly spki: SubjectPublicKeyInfo;
  readonly notBefore: number;
  readonly notAfter: number;
}

export function draftRoot(config: AuthorityCertificateConfig, facts: AuthorityDraftFacts): Draft {
  const subject = subjectName(config);
  return {
    profile: 'root',
    keyId: keyIdOf(facts.spki),
    issuedBy: undefined,
    issuer: subject,
    subject,
    notBefore: facts.notBefore,
    notAfter: facts.notAfter,
    spki: facts.spki,
    extensions: authorityExtensions(config, facts),
  };
}

export function draftIntermediate(
  config: IntermediateConfig,
  facts: AuthorityDraftFacts,
  root: Certificate,
): Draft {
  const { permitted, excluded } = config.constraints;
  const subtrees = (names: readonly string[]) =>
    names.map((value) => ({ kind: 'dns', value }) as const);
  const constraints =
    permitted.length + excluded.length === 0
      ? []
      : // RFC 5280 §4.2.1.10: critical. DNS names alone: addresses and SPIFFE IDs are bound by policy, and foreign
        // verifiers disagree about constraints on URIs.
        [
          extension.nameConstraints({
            permitted: subtrees(permitted),
            excluded: subtrees(excluded),
          }),
        ];
  return {
    profile: 'intermediate',
    keyId: keyIdOf(facts.spki),
    issuedBy: root,
    issuer: root.subject,
    subject: subjectName(config),
    notBefore: facts.notBefore,
    notAfter: Math.min(facts.notAfter, root.notAfter),
    spki: facts.spki,
    extensions: [
      ...authorityExtensions(config, facts),
      extension.authorityKeyId(root.subjectKeyId ?? keyIdOf(root.spki)),
      ...constraints,
    ],
  };
}

/** What every service certificate of one issuer shares, built once: encoding is most of the work of a draft. */
export interface ServiceTemplate {
  readonly issuer: Certificate;
  readonly authorityKeyId: Extension;
  readonly extKeyUsage: Extension;
  /** By kind of key: of what is configured, that which such a key can do. */
  readonly keyUsage: ReadonlyMap<KeyKind['type'], Extension>;
}

export function serviceTemplate(issuer: Certificate, services: ServiceConfig): ServiceTemplate {
  return {
    issuer,
    authorityKeyId: extension.authorityKeyId(issuer.subjectKeyId ?? keyIdOf(issuer.spki)),
    extKeyUsage: extension.extKeyUsage(services.extKeyUsage),
    keyUsage: new Map(
      serviceKeyTypes.map((type) => [type, extension.keyUsage(usagesFor(type, services.keyUsage))]),
    ),
  };
}

export interface ServiceDraftFacts {
  readonly names: CertificateNames;
  readonly spki: SubjectPublicKeyInfo;
  readonly kind: KeyKind;
  readonly notBefore: number;
  readonly notAfter: number;
}

export function draftService(template: ServiceTemplate, facts: ServiceDraftFacts): Draft {
  const { issuer } = template;
  const subject = serviceSubject(facts.names);
  const keyId = keyIdOf(facts.spki);
  return {
    profile: 'service',
    keyId,
    issuedBy: issuer,
    issuer: issuer.subject,
    subject,
    notBefore: facts.notBefore,
    notAfter: facts.notAfter,
    spki: facts.spki,
    extensions: [
      notAnAuthority,
      template.keyUsage.get(facts.kind.type) ?? signing,
      template.extKeyUsage,
      extension.subjectKeyId(keyId),
      template.authorityKeyId,
      // RFC 5280 §4.2.1.6: critical exactly where the subject is empty.
      extension.subjectAltName(alternativesOf(facts.names), subject === emptyName),
    ],
  };
}

const notAnAuthority = extension.basicConstraints({ ca: false });
const signing = extension.keyUsage(['digitalSignature']);
const emptyName = buildName([]);
const longestCommonName = 64;

/**
 * The first DNS name, else nothing. Never anything else: verifiers that find no DNS name among the alternatives take a
 * common name for one, and hold it to the issuer's constraints.
 */
function serviceSubject(names: CertificateNames): Name {
  const [first] = names.dns;
  if (first === undefined || first.length > longestCommonName) return emptyName;
  return buildName([{ type: 'CN', value: first }]);
}

function authorityExtensions(
  config: AuthorityCertificateConfig,
  facts: AuthorityDraftFacts,
): Extension[] {
  return [
    extension.basicConstraints({ ca: true, pathLen: config.pathLen }),
    extension.keyUsage(['keyCertSign', 'cRLSign']),
    extension.subjectKeyId(keyIdOf(facts.spki)),
    // X509-SVID §2, §3.2: a signing certificate should be an SVID itself, of an ID without a path.
    extension.subjectAltName([{ kind: 'uri', value: `spiffe://${facts.trustDomain}` }]),
  ];
}

/** The subject of a certificate of the hierarchy. */
export function subjectName({ subject }: AuthorityCertificateConfig): Name {
  const attributes: (readonly [NameAttribute['type'], string | undefined])[] = [
    ['C', subject.country],
    ['O', subject.organization],
    ['OU', subject.organizationalUnit],
    ['CN', subject.commonName],
  ];
  return buildName(
    attributes.flatMap(([type, value]) => (value === undefined ? [] : [{ type, value }])),
  );
}
