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
  /** Names the key that a key made for the requester is to be encrypted with: a shared one (RFC 4108 §2.2.5)… */
  readonly decryptKeyId: Uint8Array | undefined;
  /** …or the public one of its own (RFC 7030 §4.4.1.2). */
  readonly asymmetricDecryptKeyId: Uint8Array | undefined;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Uint8Array;
}
