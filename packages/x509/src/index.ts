export type { AlgorithmIdentifier } from './algorithm-identifier.ts';
export type { Certificate } from './certificate.ts';
export type { CertificateRequest } from './certificate-request.ts';
export type { Crl, CrlEntry } from './crl.ts';
export type {
  AccessDescription,
  AuthorityKeyId,
  BasicConstraints,
  DistributionPoint,
  Extension,
  GeneralSubtree,
  IssuingDistributionPoint,
  KeyUsage,
  NameConstraints,
  PolicyConstraints,
  PolicyInformation,
  PolicyMapping,
  ReasonFlag,
} from './extension.ts';
export type { GeneralName } from './general-name.ts';
export type { AttributeValue, Name } from './name.ts';
export type {
  ExpectedName,
  PathFound,
  PathPurpose,
  PathRefused,
  PathRequest,
  PathResult,
} from './path/path-request.ts';
export { SignatureCache, type SignatureCacheOptions } from './path/signature-cache.ts';
export { defaultWorkLimits, type WorkLimits } from './path/work-budget.ts';
export {
  isRevocationReason,
  type RevocationReason,
  revocationReasonOf,
  revocationReasons,
} from './revocation-reason.ts';
export type { SubjectPublicKeyInfo } from './spki.ts';
