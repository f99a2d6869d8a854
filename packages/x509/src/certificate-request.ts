import type { AlgorithmIdentifier } from './algorithm-identifier.ts';
import type { DecodedExtensions } from './decoded-extensions.ts';
import type { Extension } from './extension.ts';
import type { Name } from './name.ts';
import type { SubjectPublicKeyInfo } from './spki.ts';

/** A PKCS #10 request (RFC 2986). Nothing in it is proved before `verifyPossession`. */
export interface CertificateRequest extends DecodedExtensions {
  readonly raw: Uint8Array;
  /** DER of the CertificationRequestInfo: what is signed. */
  readonly tbs: Uint8Array;
  readonly subject: Name;
  readonly spki: SubjectPublicKeyInfo;
  /** Of the extensionRequest attribute; empty where absent. */
  readonly extensions: readonly Extension[];
  readonly challengePassword: string | undefined;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Uint8Array;
}
