export type { AlgorithmIdentifier } from './algorithm-identifier.ts';
export { type AttributeTypeName, attributeTypeName, attributeTypes } from './attribute-types.ts';
export {
  assembleCertificate,
  buildTbsCertificate,
  type CertificateTemplate,
  signCertificate,
} from './build-certificate.ts';
export {
  buildCertificateRequest,
  type CertificateRequestTemplate,
} from './build-certificate-request.ts';
export { buildCrl, type CrlTemplate, type EncodedEntries } from './build-crl.ts';
export type { Certificate } from './certificate.ts';
export type { CertificateRequest } from './certificate-request.ts';
export { buildCertsOnly } from './cms/build-certs-only.ts';
export {
  buildEnvelopedData,
  type EnvelopedDataTemplate,
  type Recipient,
} from './cms/build-enveloped-data.ts';
export { buildSignedData, type SignedDataTemplate, signedDataOf } from './cms/build-signed-data.ts';
export { checkSignedData, type SignedDataVerdict } from './cms/check-signed-data.ts';
export { cmsOids } from './cms/cms-oids.ts';
export { parseSignedData, type SignedData, type SignerInfo } from './cms/parse-signed-data.ts';
export { type Crl, type CrlEntry, entriesOf } from './crl.ts';
export { CrlEntryWriter, type RevokedCertificate } from './crl-entry-writer.ts';
export type { DecodedExtensions } from './decoded-extensions.ts';
export { DerError, type DerErrorCode } from './der-error.ts';
export { certificateLimits, crlLimits, type DerLimits } from './der-limits.ts';
export { DerReader } from './der-reader.ts';
export { type DerTree, encodeDerTree, readDerTree } from './der-tree.ts';
export { der } from './der-writer.ts';
export {
  type DeviceName,
  deviceNameOf,
  formatDeviceName,
  generalNameOfDevice,
  parseDeviceName,
  sameDeviceName,
} from './device-name.ts';
export type {
  DistributionPointTemplate,
  IssuingDistributionPointTemplate,
} from './distribution-point.ts';
export {
  type AccessDescription,
  type AuthorityKeyId,
  type BasicConstraints,
  type DistributionPoint,
  type Extension,
  findExtension,
  type GeneralSubtree,
  type IssuingDistributionPoint,
  type NameConstraints,
  type PolicyConstraints,
  type PolicyInformation,
  type PolicyMapping,
  type ReasonFlag,
} from './extension.ts';
export { encodeExtensions, extension, keyIdOf, sharedExtension } from './extension-builders.ts';
export {
  encodeGeneralName,
  formatGeneralName,
  type GeneralName,
  type GeneralNameKind,
} from './general-name.ts';
export { formatIpAddress, parseIpAddress, parseIpNetwork } from './ip-address.ts';
export { type Curve, formatKeyKind, judgeKey, type KeyKind, keyKindOf } from './key-kind.ts';
export {
  type ExtKeyUsage,
  extKeyUsageName,
  extKeyUsageOid,
  extKeyUsages,
  isExtKeyUsage,
  type KeyUsage,
  keyUsages,
} from './key-usage.ts';
export { buildJks } from './keystore/build-jks.ts';
export { buildPkcs12 } from './keystore/build-pkcs12.ts';
export type { KeyStoreContent } from './keystore/key-store.ts';
export {
  type AttributeValue,
  attributeOf,
  buildName,
  formatName,
  type Name,
  type NameAttribute,
  parseName,
} from './name.ts';
export {
  buildOcspRequest,
  type OcspRequestTemplate,
} from './ocsp/build-ocsp-request.ts';
export {
  buildOcspErrorResponse,
  buildOcspResponse,
  type OcspAnswer,
  type OcspResponder,
  type OcspResponderOptions,
  type OcspResponseTemplate,
  ocspResponder,
} from './ocsp/build-ocsp-response.ts';
export {
  type CertId,
  certIdOf,
  isCertIdOf,
  issuerKeyOf,
  issuerKeysOf,
  type OcspHash,
  type OcspIssuer,
} from './ocsp/cert-id.ts';
export { checkOcspResponse } from './ocsp/check-ocsp-response.ts';
export { nonceOctets } from './ocsp/ocsp-extensions.ts';
export { decodeOcspGetPath, encodeOcspGetPath } from './ocsp/ocsp-get-path.ts';
export type { OcspQuestion, OcspVerdict } from './ocsp/ocsp-question.ts';
export type {
  OcspRequest,
  OcspRequestSignature,
  OcspSingleRequest,
} from './ocsp/ocsp-request.ts';
export type {
  BasicOcspResponse,
  OcspCertStatus,
  OcspResponse,
  OcspResponseStatus,
  OcspSingleResponse,
  ResponderId,
} from './ocsp/ocsp-response.ts';
export { ocspRequestLimits, parseOcspRequest } from './ocsp/parse-ocsp-request.ts';
export { ocspResponseLimits, parseOcspResponse } from './ocsp/parse-ocsp-response.ts';
export { oidName, oids } from './oids.ts';
export { certificatesFromPem, fingerprintOf, parseCertificate } from './parse-certificate.ts';
export {
  certificateRequestFromPem,
  parseCertificateRequest,
  verifyPossession,
} from './parse-certificate-request.ts';
export { crlsFromPem, parseCrl, parseCrlPausing } from './parse-crl.ts';
export { matchNames } from './path/match-name.ts';
export {
  type ConstraintFinding,
  constraintAgainst,
  malformedConstraint,
} from './path/name-constraints.ts';
export type {
  ExpectedName,
  PathFound,
  PathPurpose,
  PathRefused,
  PathRequest,
  PathResult,
  PolicyInputs,
} from './path/path-request.ts';
export { SignatureCache, type SignatureCacheOptions } from './path/signature-cache.ts';
export { validatePath } from './path/validate-path.ts';
export { defaultWorkLimits, type WorkLimits } from './path/work-budget.ts';
export { decodePem, decodePemOf, encodePem, type PemBlock, type PemLimits } from './pem.ts';
export {
  decodePrivateKey,
  encodePrivateKey,
  generateKeyPair,
  type KeyPair,
} from './private-key.ts';
export {
  type RevocationReason,
  revocationReasonOf,
  revocationReasons,
} from './revocation-reason.ts';
export { serialHexOf } from './serial.ts';
export {
  defaultAlgorithmOf,
  type SignatureAlgorithm,
  type SignatureAlgorithmName,
  signatureAlgorithmOf,
  signatureAlgorithms,
} from './signature-algorithms.ts';
export { keySigner, type Signer, verifySignature, verifySignatureOfKey } from './signer.ts';
export { parseSpki, publicKeyOf, type SubjectPublicKeyInfo, spkiOf } from './spki.ts';
export { makeCredential, type TpmCredential } from './tpm/make-credential.ts';
export {
  type TpmAttribute,
  type TpmHash,
  type TpmHashName,
  tpmAlg,
  tpmAttributes,
  tpmCurves,
  tpmHashes,
} from './tpm/tpm-algorithms.ts';
export { parseTpmAttest, type TpmAttest, type TpmAttested } from './tpm/tpm-attest.ts';
export {
  TpmCommands,
  type TpmExchange,
  type TpmStatement,
} from './tpm/tpm-commands.ts';
export { parseTpmPublic, type TpmPublic } from './tpm/tpm-public.ts';
export { TpmReader } from './tpm/tpm-reader.ts';
export {
  parseTpmSignature,
  readTpmSignature,
  type TpmSignature,
  verifyTpmSignature,
} from './tpm/tpm-signature.ts';
export {
  attestationTemplate,
  endorsementTemplate,
  signatureTemplate,
  type TpmKeyKind,
} from './tpm/tpm-templates.ts';
export { tpm } from './tpm/tpm-writer.ts';
