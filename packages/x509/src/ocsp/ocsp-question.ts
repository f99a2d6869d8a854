import type { Denial } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import type { RevocationReason } from '../revocation-reason.ts';
import type { verifySignature } from '../signer.ts';

/** What an answer must speak of, and how fresh it must be. */
export interface OcspQuestion {
  readonly certificate: Certificate;
  /** Of the certificate, trusted: the caller has validated the path to it. Its own signature is not looked at. */
  readonly issuer: Certificate;
  /** Ms since the epoch; compared in whole seconds. */
  readonly at: number;
  /** That of the request: the answer must carry the same. Absent: any answer will do. */
  readonly nonce?: Uint8Array | undefined;
  /**
   * An answer without any nonce: `refuse` unless told otherwise. `accept` for responders of pre-signed answers, where
   * freshness alone guards against a replay.
   */
  readonly missingNonce?: 'refuse' | 'accept';
  /**
   * How old thisUpdate may be, beside what nextUpdate says. Absent: as old as nextUpdate allows, and an answer without
   * one is refused.
   */
  readonly maxAgeMs?: number | undefined;
  /** How far the responder's clock may be off, both ways. Default 60,000; at least 0. */
  readonly skewMs?: number;
  /**
   * Asked about a delegated responder whose certificate lacks id-pkix-ocsp-nocheck, so that its own revocation is open
   * (RFC 6960 §4.2.2.2.1). Absent: it is believed while it is valid.
   */
  readonly checkDelegate?: ((delegate: Certificate) => Denial | undefined) | undefined;
  /** In the place of `verifySignature`, for who remembers what has verified. */
  readonly verify?: typeof verifySignature;
}

/** The answer, proved. */
export type OcspVerdict = OcspKnown & {
  readonly ok: true;
  readonly thisUpdate: number;
  readonly nextUpdate: number | undefined;
  readonly producedAt: number;
  /** Whose key signed in the issuer's stead. */
  readonly delegate: Certificate | undefined;
};

export type OcspKnown =
  | { readonly status: 'good' }
  | {
      readonly status: 'revoked';
      readonly reason: RevocationReason;
      /** Ms since the epoch. */
      readonly revokedAt: number;
    }
  | { readonly status: 'unknown' };
