import type { AlgorithmIdentifier } from '../algorithm-identifier.ts';
import type { Extension } from '../extension.ts';
import type { GeneralName } from '../general-name.ts';
import type { CertId } from './cert-id.ts';

/** A question to a responder (RFC 6960 §4.1), decoded once and whole. Bytes are views of `raw`. */
export interface OcspRequest {
  readonly raw: Uint8Array;
  /** DER of the TBSRequest: what a signature is over. */
  readonly tbs: Uint8Array;
  readonly requestorName: GeneralName | undefined;
  /** At least one. */
  readonly requests: readonly OcspSingleRequest[];
  /** Of 1 to 128 octets (RFC 9654 §2.1). */
  readonly nonce: Uint8Array | undefined;
  readonly extensions: readonly Extension[];
  /** OIDs of critical extensions, of the request or of a single one, that this room does not decode. */
  readonly unknownCriticalExtensions: readonly string[];
  /** As it stands: who wants signed requests verifies it. */
  readonly signature: OcspRequestSignature | undefined;
}

export interface OcspSingleRequest {
  readonly certId: CertId;
  readonly extensions: readonly Extension[];
}

export interface OcspRequestSignature {
  readonly algorithm: AlgorithmIdentifier;
  readonly value: Uint8Array;
  /** DER of each certificate that was sent along. */
  readonly certificates: readonly Uint8Array[];
}
