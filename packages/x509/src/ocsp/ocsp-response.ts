import type { AlgorithmIdentifier } from '../algorithm-identifier.ts';
import type { Certificate } from '../certificate.ts';
import type { Extension } from '../extension.ts';
import type { Name } from '../name.ts';
import type { RevocationReason } from '../revocation-reason.ts';
import type { CertId } from './cert-id.ts';

/** RFC 6960 §4.2.1, by number; 4 is not used. */
export const ocspResponseStatuses = {
  successful: 0,
  malformedRequest: 1,
  internalError: 2,
  tryLater: 3,
  sigRequired: 5,
  unauthorized: 6,
} as const;

export type OcspResponseStatus = keyof typeof ocspResponseStatuses;

/** What a responder gives back (RFC 6960 §4.2): an answer, or an error status that nobody has signed. */
export type OcspResponse =
  | { readonly raw: Uint8Array; readonly status: 'successful'; readonly basic: BasicOcspResponse }
  | {
      readonly raw: Uint8Array;
      readonly status: Exclude<OcspResponseStatus, 'successful'>;
      readonly basic: undefined;
    };

/** A signed answer, decoded once and whole. Bytes are views of the response's. */
export interface BasicOcspResponse {
  readonly raw: Uint8Array;
  /** DER of the ResponseData: what is signed. */
  readonly tbs: Uint8Array;
  readonly responderId: ResponderId;
  readonly producedAt: number;
  /** At least one. */
  readonly responses: readonly OcspSingleResponse[];
  /** Of 1 to 128 octets (RFC 9654 §2.1). */
  readonly nonce: Uint8Array | undefined;
  readonly extensions: readonly Extension[];
  /** OIDs of critical extensions of the answer that this room does not decode. */
  readonly unknownCriticalExtensions: readonly string[];
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Uint8Array;
  /** Sent along for finding the responder's key; nothing is proved about them. */
  readonly certificates: readonly Certificate[];
}

export type ResponderId =
  | { readonly kind: 'name'; readonly name: Name }
  /** SHA-1 over the bits of the responder's public key. */
  | { readonly kind: 'key'; readonly keyHash: Uint8Array };

export interface OcspSingleResponse {
  readonly certId: CertId;
  readonly status: OcspCertStatus;
  /** Ms since the epoch, as all times here. */
  readonly thisUpdate: number;
  /** Undefined: newer information is there at any time. */
  readonly nextUpdate: number | undefined;
  /** RFC 6960 §4.4.4: how far back the responder keeps what it knows of expired certificates. */
  readonly archiveCutoff: number | undefined;
  readonly extensions: readonly Extension[];
  readonly unknownCriticalExtensions: readonly string[];
}

/** RFC 6960 §2.2. `good` says no more than that the certificate is not revoked. */
export type OcspCertStatus =
  | { readonly status: 'good' }
  | { readonly status: 'revoked'; readonly at: number; readonly reason: RevocationReason }
  | { readonly status: 'unknown' };
