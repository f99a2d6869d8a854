import { denial, type ErrorCode, equalBytes, type Fields, toHex } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import { attributeOf } from '../name.ts';
import { oidName, oids } from '../oids.ts';
import { verifySignature } from '../signer.ts';
import { certificateText, shorten, timeText } from './certificate-text.ts';
import { isEmptyName, sameName } from './compare-names.ts';
import { keyFinding, signatureAlgorithmFinding } from './key-rules.ts';
import { malformedConstraint } from './name-constraints.ts';
import type { PathRefused } from './path-request.ts';

/**
 * What a certificate is on the path: the end entity, a CA above it, or the trust anchor, which is a
 * CA too.
 */
export type CertificateRole = 'leaf' | 'issuer' | 'anchor';

/**
 * Judges one certificate by itself: its dates, and the rules of the RFC 5280 profile that need no
 * other certificate. The first rule of the table that fails is the answer.
 */
export function checkCertificate(
  certificate: Certificate,
  role: CertificateRole,
  at: number,
): PathRefused | undefined {
  for (const rule of rules) {
    const finding = rule(certificate, role, at);
    if (finding === undefined) continue;
    const subject = certificateText(certificate);
    const detail = `certificate "${subject}" ${finding.detail}`;
    return { ...denial(finding.code, detail, { subject, ...finding.fields }), subject };
  }
  return undefined;
}

export interface Finding {
  readonly code: ErrorCode;
  /** Continues the sentence `certificate "CN=…" …`. */
  readonly detail: string;
  readonly fields?: Fields;
}

type Rule = (certificate: Certificate, role: CertificateRole, at: number) => Finding | undefined;

const rules: readonly Rule[] = [
  checkValidity,
  checkVersion,
  checkSerial,
  checkNames,
  checkCommonName,
  checkUnknownExtensions,
  checkCriticality,
  checkCa,
  checkKeyUsage,
  checkPathLength,
  checkKeyIds,
  checkExtKeyUsage,
  checkConstraints,
  checkPolicies,
  (certificate) => keyFinding(certificate),
  (certificate, role) =>
    role === 'anchor' ? undefined : signatureAlgorithmFinding(certificate.signatureAlgorithm),
];

// RFC 5280 §4.1.2.5: both ends belong to the period, in whole seconds
function checkValidity(
  { notBefore, notAfter }: Certificate,
  _role: CertificateRole,
  at: number,
): Finding | undefined {
  const now = Math.floor(at / 1000) * 1000;
  if (now > notAfter) {
    const detail = `expired: notAfter ${timeText(notAfter)}, now ${timeText(now)}`;
    return { code: 'ERR_CERT_EXPIRED', detail, fields: { notAfter, now } };
  }
  // written so that a time that is no number fails
  if (now >= notBefore) return undefined;
  const detail = `is not yet valid: notBefore ${timeText(notBefore)}, now ${timeText(now)}`;
  return { code: 'ERR_CERT_NOT_YET_VALID', detail, fields: { notBefore, now } };
}

// RFC 5280 §6.1.4 (k): without version 3 nothing says what the key may do
function checkVersion({ version }: Certificate): Finding | undefined {
  if (version === 3) return undefined;
  const detail = `is of version ${version}, only version 3 is accepted`;
  return { code: 'ERR_CERT_PROFILE_VERSION', detail, fields: { version } };
}

// RFC 5280 §4.1.2.2; an anchor is trusted by its key and name, its serial number says nothing
function checkSerial(
  { serial, serialHex }: Certificate,
  role: CertificateRole,
): Finding | undefined {
  if (role === 'anchor') return undefined;
  const [first = 0x80, second = 0] = serial;
  const octets = first === 0 && second >= 0x80 ? serial.byteLength - 1 : serial.byteLength;
  const wrong =
    first >= 0x80 ? 'negative' : serial.every((octet) => octet === 0) ? 'zero' : undefined;
  if (wrong === undefined && octets <= 20) return undefined;
  const detail = `has serial number "${shorten(serialHex)}", which is ${wrong ?? `${octets} octets long, at most 20 are allowed`}`;
  return { code: 'ERR_CERT_SERIAL', detail, fields: { serial: shorten(serialHex) } };
}

function checkNames(certificate: Certificate, role: CertificateRole): Finding | undefined {
  // RFC 5280 §4.1.2.4: the issuer must not be empty
  if (isEmptyName(certificate.issuer)) {
    return { code: 'ERR_CERT_NAME_EMPTY', detail: 'has an empty issuer name' };
  }
  if (!isEmptyName(certificate.subject)) return undefined;
  // RFC 5280 §4.1.2.6: a CA has a subject; without one, the name is in a critical subjectAltName
  if (role !== 'leaf' || certificate.basicConstraints?.ca === true) {
    return { code: 'ERR_CERT_NAME_EMPTY', detail: 'is a CA with an empty subject name' };
  }
  const names = extensionOf(certificate, oids.subjectAltName);
  if (names === undefined) {
    return { code: 'ERR_CERT_NAME_EMPTY', detail: 'has neither a subject nor a subjectAltName' };
  }
  if (names.critical) return undefined;
  const detail = 'has an empty subject, and its subjectAltName is not critical';
  return { code: 'ERR_CERT_CRITICALITY', detail, fields: { extension: 'subjectAltName' } };
}

// RFC 6943 §3.1.1: some read 010.0.0.1 as octal, and no two readers may take one certificate for
// different hosts
function checkCommonName({ subject }: Certificate): Finding | undefined {
  const common = attributeOf(subject, 'CN');
  if (common === undefined || !/^\d{1,3}(?:\.\d{1,3}){3}$/.test(common)) return undefined;
  if (!/(?:^|\.)0\d/.test(common)) return undefined;
  const detail = `has the common name "${common}", an address with leading zeros that readers take for different hosts`;
  return { code: 'ERR_CERT_NAME_AMBIGUOUS', detail, fields: { commonName: common } };
}

// RFC 5280 §4.2: what is critical and not recognised is refused
function checkUnknownExtensions({ unknownCriticalExtensions }: Certificate): Finding | undefined {
  const [oid] = unknownCriticalExtensions;
  if (oid === undefined) return undefined;
  const detail = `has the critical extension "${oidName(oid)}", which is not known here`;
  return { code: 'ERR_CERT_CRITICAL_UNKNOWN', detail, fields: { extension: oid } };
}

/** What RFC 5280 says of each extension's criticality, where it says must. */
const criticality: ReadonlyMap<string, boolean> = new Map([
  [oids.nameConstraints, true], // §4.2.1.10
  [oids.policyConstraints, true], // §4.2.1.11
  [oids.inhibitAnyPolicy, true], // §4.2.1.14
  [oids.authorityKeyIdentifier, false], // §4.2.1.1
  [oids.subjectKeyIdentifier, false], // §4.2.1.2
  [oids.authorityInfoAccess, false], // §4.2.2.1
  [oids.subjectInfoAccess, false], // §4.2.2.2
  [oids.freshestCrl, false], // §4.2.1.15
]);

/**
 * What a CA that follows RFC 3280 leaves uncritical without harm to those who do not know the
 * extension.
 */
const tolerated: ReadonlyMap<string, (certificate: Certificate) => boolean> = new Map([
  // they still know by the key usage that the key signs certificates
  [oids.basicConstraints, isMarkedByKeyUsage],
  // RFC 3280 §4.2.1.12 let the CA choose; without policies, they would accept what is refused here
  [oids.policyConstraints, ({ certificatePolicies }) => certificatePolicies !== undefined],
]);

function isMarkedByKeyUsage(certificate: Certificate): boolean {
  const isCritical = extensionOf(certificate, oids.keyUsage)?.critical === true;
  return isCritical && certificate.keyUsage?.has('keyCertSign') === true;
}

function checkCriticality(certificate: Certificate, role: CertificateRole): Finding | undefined {
  for (const { oid, critical } of certificate.extensions) {
    // RFC 5280 §4.2.1.9: critical in CA certificates
    const required = oid === oids.basicConstraints && role !== 'leaf' ? true : criticality.get(oid);
    if (required === undefined || required === critical) continue;
    if (tolerated.get(oid)?.(certificate) === true) continue;
    const is = critical ? 'is critical and must not be' : 'is not critical and must be';
    const detail = `has the extension "${oidName(oid)}", which ${is}`;
    return { code: 'ERR_CERT_CRITICALITY', detail, fields: { extension: oidName(oid), critical } };
  }
  return undefined;
}

// RFC 5280 §6.1.4 (k)
function checkCa({ basicConstraints }: Certificate, role: CertificateRole): Finding | undefined {
  if (role === 'leaf' || basicConstraints?.ca === true) return undefined;
  const why = basicConstraints === undefined ? 'no basicConstraints' : 'basicConstraints cA false';
  return { code: 'ERR_CERT_NOT_CA', detail: `is used as an issuer and has ${why}` };
}

function checkKeyUsage(
  { keyUsage, basicConstraints }: Certificate,
  role: CertificateRole,
): Finding | undefined {
  if (keyUsage === undefined) return undefined;
  const listed = keyUsage.size === 0 ? 'nothing' : [...keyUsage].join(', ');
  const fields = { keyUsage: [...keyUsage] };
  // RFC 5280 §4.2.1.3: at least one of the bits must be set
  if (keyUsage.size === 0) {
    return { code: 'ERR_CERT_KEY_USAGE', detail: 'has a key usage that allows nothing', fields };
  }
  const ca = basicConstraints?.ca === true;
  // RFC 5280 §4.2.1.3, §4.2.1.9, §6.1.4 (n): cA and keyCertSign go together
  if (keyUsage.has('keyCertSign') === ca) return undefined;
  const lack = `has key usage ${listed}, without keyCertSign`;
  const detail = ca
    ? `${lack}, and is ${role === 'leaf' ? 'marked as a CA' : 'used as an issuer'}`
    : 'has key usage keyCertSign and is no CA';
  return { code: 'ERR_CERT_KEY_USAGE', detail, fields };
}

// RFC 5280 §4.2.1.9: a path length only in a CA that may sign certificates
function checkPathLength({ basicConstraints }: Certificate): Finding | undefined {
  if (basicConstraints?.pathLen === undefined || basicConstraints.ca) return undefined;
  const detail = `has pathLenConstraint ${basicConstraints.pathLen} and is no CA`;
  return { code: 'ERR_CERT_NOT_CA', detail };
}

function checkKeyIds(certificate: Certificate, role: CertificateRole): Finding | undefined {
  const { authorityKeyId, subjectKeyId } = certificate;
  // RFC 5280 §4.2.1.2: every CA certificate has a subject key identifier
  if (certificate.basicConstraints?.ca === true && subjectKeyId === undefined) {
    return { code: 'ERR_CERT_KEY_ID', detail: 'is a CA without a subjectKeyIdentifier' };
  }
  if (authorityKeyId === undefined) {
    // RFC 5280 §4.2.1.1: only what is self-signed may go without (that the key is the same is left
    // to the signature); nor does an anchor need it, as nobody looks for its issuer
    if (role === 'anchor' || isSelfIssued(certificate)) return undefined;
    return { code: 'ERR_CERT_KEY_ID', detail: 'has no authorityKeyIdentifier' };
  }
  const { keyId, issuer, serial } = authorityKeyId;
  if (keyId === undefined) {
    return {
      code: 'ERR_CERT_KEY_ID',
      detail: 'has an authorityKeyIdentifier without a key identifier',
    };
  }
  // RFC 5280 Appendix A.2: both or neither
  if ((issuer === undefined) !== (serial === undefined)) {
    const has =
      issuer === undefined ? 'a serial number but no issuer' : 'an issuer but no serial number';
    const detail = `has an authorityKeyIdentifier with ${has}`;
    return { code: 'ERR_CERT_KEY_ID', detail };
  }
  return isSelfIssued(certificate) ? checkOwnKeyId(certificate, keyId, role) : undefined;
}

/**
 * Another key's identifier in a self-issued certificate is a key rollover, unless its own key has
 * signed it.
 */
function checkOwnKeyId(
  certificate: Certificate,
  keyId: Uint8Array,
  role: CertificateRole,
): Finding | undefined {
  const { subjectKeyId, authorityKeyId, serial } = certificate;
  if (subjectKeyId === undefined) return undefined;
  if (!equalBytes(keyId, subjectKeyId)) {
    if (role !== 'anchor' || !isSelfSigned(certificate)) return undefined;
    const detail = `is signed by itself and names key "${toHex(keyId)}" as its issuer's, its own is "${toHex(subjectKeyId)}"`;
    return { code: 'ERR_CERT_KEY_ID', detail };
  }
  const named = authorityKeyId?.serial;
  if (named === undefined || equalBytes(named, serial)) return undefined;
  const detail = `names itself as its issuer with serial number "${toHex(named)}", its own is "${toHex(serial)}"`;
  return { code: 'ERR_CERT_KEY_ID', detail };
}

function isSelfSigned({ spki, signatureAlgorithm, tbs, signature }: Certificate): boolean {
  return verifySignature(spki, signatureAlgorithm, tbs, signature);
}

// RFC 5280 §4.2.1.12: one or more purposes
function checkExtKeyUsage({ extKeyUsage }: Certificate): Finding | undefined {
  if (extKeyUsage === undefined || extKeyUsage.length > 0) return undefined;
  return { code: 'ERR_CERT_PURPOSE', detail: 'has an extended key usage that allows nothing' };
}

// RFC 5280 §4.2.1.10: only in CA certificates, and sound even where no name of that kind follows
function checkConstraints(certificate: Certificate): Finding | undefined {
  const { nameConstraints, basicConstraints } = certificate;
  if (nameConstraints === undefined) return undefined;
  if (basicConstraints?.ca !== true) {
    return { code: 'ERR_CERT_NAME_CONSTRAINTS', detail: 'has name constraints and is no CA' };
  }
  const malformed = malformedConstraint(nameConstraints);
  if (malformed === undefined) return undefined;
  const detail = `has malformed name constraints: ${malformed}`;
  return { code: 'ERR_CERT_NAME_CONSTRAINTS', detail };
}

function checkPolicies(certificate: Certificate): Finding | undefined {
  const { policyMappings, policyConstraints } = certificate;
  // RFC 5280 §6.1.4 (a): anyPolicy is mapped neither from nor to
  const any = policyMappings?.some(
    (mapping) =>
      mapping.issuerDomainPolicy === oids.anyPolicy ||
      mapping.subjectDomainPolicy === oids.anyPolicy,
  );
  if (any === true) return { code: 'ERR_CERT_POLICIES', detail: 'maps the policy anyPolicy' };
  // RFC 5280 §4.2.1.11: never an empty sequence
  const empty =
    policyConstraints !== undefined &&
    policyConstraints.requireExplicitPolicy === undefined &&
    policyConstraints.inhibitPolicyMapping === undefined;
  return empty ? { code: 'ERR_CERT_POLICIES', detail: 'has empty policy constraints' } : undefined;
}

/** RFC 5280 §3.2: issued by the entity of the same name, perhaps under another key. */
export function isSelfIssued(certificate: Certificate): boolean {
  return sameName(certificate.subject, certificate.issuer);
}

function extensionOf(certificate: Certificate, oid: string) {
  return certificate.extensions.find((extension) => extension.oid === oid);
}
