import type { AlgorithmIdentifier } from './algorithm-identifier.ts';
import type {
  AccessDescription,
  AuthorityKeyId,
  BasicConstraints,
  DistributionPoint,
  Extension,
  KeyUsage,
  NameConstraints,
  PolicyConstraints,
  PolicyInformation,
  PolicyMapping,
} from './extension.ts';
import type { GeneralName } from './general-name.ts';
import type { Name } from './name.ts';
import type { SubjectPublicKeyInfo } from './spki.ts';

/**
 * A certificate (RFC 5280 §4.1), decoded once and whole. What is well-formed but against the profile (a zero serial, a
 * CA without keyCertSign, a weak key) is here as it stands: path validation judges it. Bytes are views of `raw`.
 */
export interface Certificate {
  readonly raw: Uint8Array;
  /** DER of the TBSCertificate: what is signed. */
  readonly tbs: Uint8Array;
  readonly version: 1 | 2 | 3;
  /** Content octets of the INTEGER: minimal two's complement, perhaps negative, zero or over 20 octets. */
  readonly serial: Uint8Array;
  /** Lowercase, without the leading 00 that only keeps a serial positive; a negative one has a leading "-". */
  readonly serialHex: string;
  /** The same in both places: a difference is refused at parse. */
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly tbsSignatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Uint8Array;
  readonly issuer: Name;
  readonly subject: Name;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly spki: SubjectPublicKeyInfo;
  readonly extensions: readonly Extension[];
  /** OIDs of critical extensions that this room does not decode. */
  readonly unknownCriticalExtensions: readonly string[];

  readonly basicConstraints: BasicConstraints | undefined;
  readonly keyUsage: ReadonlySet<KeyUsage> | undefined;
  /** Names where known (`serverAuth`), dotted OIDs otherwise. */
  readonly extKeyUsage: readonly string[] | undefined;
  /** Empty where absent; an extension that is there has at least one. */
  readonly subjectAltNames: readonly GeneralName[];
  readonly issuerAltNames: readonly GeneralName[];
  readonly nameConstraints: NameConstraints | undefined;
  readonly subjectKeyId: Uint8Array | undefined;
  readonly authorityKeyId: AuthorityKeyId | undefined;
  readonly crlDistributionPoints: readonly DistributionPoint[] | undefined;
  readonly authorityInfoAccess: readonly AccessDescription[] | undefined;
  readonly certificatePolicies: readonly PolicyInformation[] | undefined;
  readonly policyMappings: readonly PolicyMapping[] | undefined;
  readonly policyConstraints: PolicyConstraints | undefined;
  readonly inhibitAnyPolicy: number | undefined;
}
