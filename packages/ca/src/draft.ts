import {
  buildName,
  type Certificate,
  type CertificateTemplate,
  type Extension,
  extension,
  type GeneralName,
  type KeyKind,
  keyIdOf,
  type Name,
  type NameConstraints,
  type SubjectPublicKeyInfo,
  sharedExtension,
} from '@countersign/x509';
import type { AuthorityCertificateConfig, IntermediateConfig } from './ca-config.ts';
import { alternativesOf, type CertificateNames } from './certificate-names.ts';
import { isConstrained } from './constraints/name-constraints.ts';
import { serviceKeyTypes, usagesFor } from './key-usage-by-kind.ts';
import type { CertificateProfile } from './profile/certificate-profile.ts';
import {
  noPublication,
  type Publication,
  type ShardPlaces,
} from './publish/certificate-publication.ts';
import type { TrialKeys } from './requests/trial-keys.ts';
import { subjectName } from './subject-name.ts';

export type Profile = 'root' | 'intermediate' | 'service' | 'responder';

/** A certificate but for its serial number, which the ledger gives: here stands a placeholder. */
export interface Draft extends CertificateTemplate {
  readonly profile: Profile;
  /** Of the key (RFC 5280 §4.2.1.2). */
  readonly keyId: Uint8Array;
  /** What the subjectAltName extension holds. */
  readonly names: readonly GeneralName[];
  /** Undefined for the root, which vouches for itself. */
  readonly issuedBy: Certificate | undefined;
  /** The constraints of the issuer and of those above it. */
  readonly links: readonly NameConstraints[];
  /** Of the key, which was judged before. */
  readonly kind: KeyKind;
  /** By which it was judged, in an authority for trials alone. */
  readonly trialKeys?: TrialKeys | undefined;
  /** What the serial number decides beside itself. */
  readonly shard?: ShardPlaces | undefined;
}

/** Who issues a certificate. */
export interface IssuingAuthority {
  readonly certificate: Certificate;
  /** Its constraints and those of the authorities above it. */
  readonly links: readonly NameConstraints[];
}

export interface AuthorityDraftFacts {
  readonly trustDomain: string;
  readonly spki: SubjectPublicKeyInfo;
  readonly notBefore: number;
  readonly notAfter: number;
}

export function draftRoot(config: AuthorityCertificateConfig, facts: AuthorityDraftFacts): Draft {
  const subject = subjectName(config.subject);
  return {
    profile: 'root',
    kind: config.key,
    serial: placeholderSerial,
    keyId: keyIdOf(facts.spki),
    links: [],
    issuedBy: undefined,
    issuer: subject,
    subject,
    notBefore: facts.notBefore,
    notAfter: facts.notAfter,
    spki: facts.spki,
    names: authorityNames(facts),
    extensions: authorityExtensions(config, facts),
  };
}

export function draftIntermediate(
  config: IntermediateConfig,
  facts: AuthorityDraftFacts,
  issuer: IssuingAuthority,
  publication: Publication = noPublication,
): Draft {
  const { certificate } = issuer;
  const names = (side: 'permitted' | 'excluded') =>
    config.constraints[side].map(({ base }) => base);
  const constraints = isConstrained(config.constraints)
    ? // RFC 5280 §4.2.1.10: critical.
      [extension.nameConstraints({ permitted: names('permitted'), excluded: names('excluded') })]
    : [];
  const policies =
    config.policies.length === 0 ? [] : [extension.certificatePolicies(config.policies)];
  return {
    profile: 'intermediate',
    kind: config.key,
    serial: placeholderSerial,
    keyId: keyIdOf(facts.spki),
    links: issuer.links,
    issuedBy: certificate,
    issuer: certificate.subject,
    subject: subjectName(config.subject),
    notBefore: facts.notBefore,
    notAfter: Math.min(facts.notAfter, certificate.notAfter),
    spki: facts.spki,
    names: authorityNames(facts),
    extensions: [
      ...authorityExtensions(config, facts),
      extension.authorityKeyId(certificate.subjectKeyId ?? keyIdOf(certificate.spki)),
      ...constraints,
      ...policies,
      ...publication.extensions,
    ],
  };
}

/** What the service certificates of one issuer and profile share, built once: encoding is most of a draft's work. */
export interface ServiceTemplate {
  readonly issuer: IssuingAuthority;
  readonly authorityKeyId: Extension;
  readonly extKeyUsage: Extension;
  /** By kind of key: of what is configured, that which such a key can do. */
  readonly keyUsage: ReadonlyMap<KeyKind['type'], Extension>;
  /** Policies, and what else the profile adds. */
  readonly more: readonly Extension[];
  readonly publication: Publication;
}

export function serviceTemplate(
  issuer: IssuingAuthority,
  profile: Pick<CertificateProfile, 'keyUsage' | 'extKeyUsage' | 'policies' | 'extensions'>,
  publication: Publication = noPublication,
): ServiceTemplate {
  const { policies, extensions } = profile;
  return {
    publication: { ...publication, extensions: publication.extensions.map(sharedExtension) },
    issuer,
    authorityKeyId: sharedExtension(
      extension.authorityKeyId(issuer.certificate.subjectKeyId ?? keyIdOf(issuer.certificate.spki)),
    ),
    extKeyUsage: sharedExtension(extension.extKeyUsage(profile.extKeyUsage)),
    keyUsage: new Map(
      serviceKeyTypes.map((type) => [
        type,
        sharedExtension(extension.keyUsage(usagesFor(type, profile.keyUsage))),
      ]),
    ),
    more: [
      ...(policies.length === 0 ? [] : [extension.certificatePolicies(policies)]),
      ...extensions,
    ].map(sharedExtension),
  };
}

export interface ServiceDraftFacts {
  readonly names: CertificateNames;
  /** For the subject, where a door's clients look for it there; it was judged as a name before. */
  readonly commonName?: string | undefined;
  readonly spki: SubjectPublicKeyInfo;
  /** SHA-256 of the SubjectPublicKeyInfo: the key's identifier is its beginning. */
  readonly keyHash: Uint8Array;
  readonly kind: KeyKind;
  readonly trialKeys?: TrialKeys | undefined;
  readonly notBefore: number;
  readonly notAfter: number;
}

export function draftService(template: ServiceTemplate, facts: ServiceDraftFacts): Draft {
  return new ServiceDraft(template, facts);
}

/** The template that a draft was made from, and so shares everything with but names, key and dates. */
export function templateOf(draft: Draft): ServiceTemplate | undefined {
  return ServiceDraft.templateOf(draft);
}

/** A class, so that a draft which was changed after it was made is not taken for the template's any more. */
class ServiceDraft implements Draft {
  readonly profile = 'service';
  readonly kind: KeyKind;
  readonly trialKeys: TrialKeys | undefined;
  readonly serial = placeholderSerial;
  readonly keyId: Uint8Array;
  readonly names: readonly GeneralName[];
  readonly links: readonly NameConstraints[];
  readonly issuedBy: Certificate;
  readonly issuer: Name;
  // Services are known by their alternative names, and have no other unless a door asks for it.
  readonly subject: Name;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly spki: SubjectPublicKeyInfo;
  readonly extensions: readonly Extension[];
  readonly shard: ShardPlaces | undefined;
  readonly #template: ServiceTemplate;

  constructor(template: ServiceTemplate, facts: ServiceDraftFacts) {
    this.#template = template;
    this.kind = facts.kind;
    this.trialKeys = facts.trialKeys;
    // RFC 5280 §4.2.1.2 leaves the method open. This one makes the identifier the beginning of what `revoke` calls the key.
    this.keyId = facts.keyHash.subarray(0, 20);
    const { commonName } = facts;
    this.subject =
      commonName === undefined ? emptyName : buildName([{ type: 'CN', value: commonName }]);
    this.names = alternativesOf(facts.names);
    this.links = template.issuer.links;
    this.issuedBy = template.issuer.certificate;
    this.issuer = template.issuer.certificate.subject;
    this.notBefore = facts.notBefore;
    this.notAfter = facts.notAfter;
    this.spki = facts.spki;
    this.extensions = [
      notAnAuthority,
      template.keyUsage.get(facts.kind.type) ?? signing,
      template.extKeyUsage,
      extension.subjectKeyId(this.keyId),
      template.authorityKeyId,
      // RFC 5280 §4.2.1.6: critical where the subject is empty.
      extension.subjectAltName(this.names, commonName === undefined),
      ...template.more,
      ...template.publication.extensions,
    ];
    this.shard = template.publication.shard;
  }

  static templateOf(draft: Draft): ServiceTemplate | undefined {
    return #template in draft ? draft.#template : undefined;
  }
}

/** As long as the ledger's, and of their form. Never signed: the evidence of the lint writes over it. */
export const placeholderSerial = Uint8Array.of(0x01, ...new Uint8Array(19).fill(0xff));
const notAnAuthority = sharedExtension(extension.basicConstraints({ ca: false }));
const signing = sharedExtension(extension.keyUsage(['digitalSignature']));
const emptyName = buildName([]);
function authorityExtensions(
  config: AuthorityCertificateConfig,
  facts: AuthorityDraftFacts,
): Extension[] {
  return [
    extension.basicConstraints({ ca: true, pathLen: config.pathLen }),
    extension.keyUsage(['keyCertSign', 'cRLSign']),
    extension.subjectKeyId(keyIdOf(facts.spki)),
    extension.subjectAltName(authorityNames(facts)),
  ];
}

// X509-SVID §2, §3.2: a signing certificate should be an SVID itself, of an ID without a path.
function authorityNames({ trustDomain }: AuthorityDraftFacts): GeneralName[] {
  return [{ kind: 'uri', value: `spiffe://${trustDomain}` }];
}
