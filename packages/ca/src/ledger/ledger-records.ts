import type { RevocationBy } from '@countersign/wire';
import type { RevocationReason } from '@countersign/x509';
import type { AuditHead } from './audit-trail.ts';

export type { RevocationBy } from '@countersign/wire';

/** What entitles a requester to a certificate. */
export type Grant =
  /** `secretHash`: SHA-256 of the token's secret, lowercase hex. */
  | { readonly kind: 'token'; readonly id: string; readonly secretHash: string }
  /** The certificate presented over mTLS; a covered or unknown one is refused. */
  | { readonly kind: 'renewal'; readonly serialHex: string }
  /** Whom ca.yaml lets order for others, by the certificate presented: as `renewal`, then as `operator`. */
  | { readonly kind: 'registrar'; readonly serialHex: string }
  /** An edge for another protocol, by what it has of the request. */
  | { readonly kind: 'door'; readonly evidence: string }
  /** Whoever holds the state: a block still applies; a revocation without block does not. */
  | { readonly kind: 'operator' };

export interface IntentDraft {
  readonly grant: Grant;
  readonly spiffeId?: string | undefined;
  /** Every name of the certificate as `formatGeneralName` writes it, the SPIFFE ID's URI included. */
  readonly names: readonly string[];
  /** SHA-256 of the SubjectPublicKeyInfo's DER, lowercase hex. */
  readonly spkiHash: string;
  /** Who vouched first; a renewal inherits that of the certificate it renews, whatever is given here. */
  readonly provisioner: string;
  /** Name of the intermediate that is going to sign. */
  readonly issuer: string;
  readonly notAfter: number;
  /** Name of the profile, where it was asked for by name, now or for the certificate that is renewed. */
  readonly profile?: string | undefined;
  /**
   * SHA-256 of the SubjectPublicKeyInfo of the long-term key that signed this order, lowercase hex. Every renewal of what was
   * ordered with one needs it again.
   */
  readonly proofKey?: string | undefined;
  /** Refuses a key that was ordered for another identity. */
  readonly refuseReusedKey?: boolean | undefined;
}

export interface Intent {
  readonly ok: true;
  readonly position: number;
  /** 20 octets: `serialForPosition(position, …)`. */
  readonly serial: Uint8Array;
  readonly serialHex: string;
  readonly provisioner: string;
}

export interface IntentRecord {
  readonly kind: 'intent';
  readonly position: number;
  readonly at: number;
  readonly serialHex: string;
  readonly spiffeId: string | undefined;
  readonly names: readonly string[];
  readonly spkiHash: string;
  readonly provisioner: string;
  readonly grant: Grant['kind'];
  /**
   * The token's id, the serial of the registrar, or an edge's evidence; of a renewal the serial that was renewed and, apart, the id of the
   * token that it all began with, where it did.
   */
  readonly grantedBy: string | undefined;
  readonly issuer: string;
  readonly notAfter: number;
  /** Name of the profile, where it was asked for by name. */
  readonly profile?: string | undefined;
  /** As of the draft. */
  readonly proofKey?: string | undefined;
}

export interface IssuedCertificate {
  /** Position of the intent. */
  readonly intent: number;
  readonly serialHex: string;
  readonly der: Uint8Array;
}

/** What the issuance log reads of an issued record. */
export interface LoggedCertificate {
  readonly position: number;
  readonly der: Uint8Array;
}

export interface IssuedRecord extends IssuedCertificate {
  readonly kind: 'issued';
  readonly position: number;
  readonly at: number;
}

export interface AbandonedRecord {
  readonly kind: 'abandoned';
  readonly position: number;
  readonly at: number;
  readonly intent: number;
  readonly reason: string;
}

/** An issued certificate with what its intent said. */
export interface CertificateRecord extends Omit<IntentRecord, 'kind' | 'position' | 'at'> {
  /** Position of the intent; it is in the serial too. */
  readonly intent: number;
  /** Position of the issued record. */
  readonly position: number;
  readonly issuedAt: number;
  readonly der: Uint8Array;
}

export type CertificateStatus =
  | { readonly status: 'good'; readonly certificate: OrderedFacts }
  | {
      readonly status: 'revoked';
      readonly certificate: OrderedFacts;
      readonly revocation: RevocationRecord;
    }
  | { readonly status: 'unknown' };

/** What a revocation is compared with. */
export interface CoveredFacts {
  /** Position of the intent. */
  readonly position: number;
  readonly serialHex: string;
  readonly spiffeId: string | undefined;
  readonly spkiHash: string;
  /** Of the long-term key that vouches for that one and signs renewals, where there is one: a renewal keeps it. */
  readonly proofKey?: string | undefined;
  readonly provisioner: string;
  /** Id of the join token that it comes from, itself or by renewal. */
  readonly token: string | undefined;
  /** Name of the intermediate, or `root`. */
  readonly issuer: string;
  /** When it was ordered. */
  readonly at: number;
}

export interface OrderedFacts extends CoveredFacts {
  readonly notAfter: number;
  /** Name of the profile, where it was asked for by name: a renewal keeps it. */
  readonly profile?: string | undefined;
}

/** What a revocation covers and a certificate does not show, told by positions: see `coveredRuns`. */
export interface CoveredQuestion {
  readonly by: RevocationBy;
  readonly value: string;
  readonly block?: boolean;
  /** Intents up to it were told of. */
  readonly above: number;
  /** The cut-off: intents from there on are not covered. */
  readonly below: number;
  readonly mostRuns: number;
}

export interface CoveredRuns {
  /** First and last position of each run. */
  readonly runs: readonly number[];
  /** Where the next page begins. */
  readonly upTo: number;
  readonly more: boolean;
}

/** Everything that revocations below `revocation` cover has been read, and of that one the intents up to `intent`. */
export interface RevokedCursor {
  readonly revocation: number;
  readonly intent: number;
}

export interface RevokedRow {
  /** Position of the revocation, or of the release. */
  readonly revocation: number;
  readonly at: number;
  /** `removeFromCRL`: it was on hold, and nothing covers it any more. */
  readonly reason: RevocationReason;
  /** Position of the intent. */
  readonly intent: number;
  readonly serialHex: string;
  readonly issuer: string;
  readonly notAfter: number;
}

export interface RevokedPage {
  readonly rows: readonly RevokedRow[];
  /** Where the next page begins. */
  readonly next: RevokedCursor;
  /** Whether there may be more at once. */
  readonly more: boolean;
}

export interface CertificateQuery {
  readonly spiffeId?: string;
  readonly spkiHash?: string;
  readonly provisioner?: string;
  /** Only those whose notAfter is above it. */
  readonly validAt?: number;
  readonly limit?: number;
}

export interface TokenDraft {
  /** 16 hex digits. */
  readonly id: string;
  /** SHA-256 of the secret, lowercase hex: the secret itself is never stored. */
  readonly secretHash: string;
  readonly spiffeId?: string;
  /** Further names that it grants, as `formatGeneralName` writes them. */
  readonly names: readonly string[];
  readonly provisioner: string;
  /** The longest lifetime that it grants; the policy's default where absent. */
  readonly ttlMs?: number;
  readonly expiresAt: number;
}

export interface TokenRecord extends Omit<TokenDraft, 'spiffeId' | 'ttlMs'> {
  readonly kind: 'token';
  /** A token is newer than a revocation exactly if its position is higher. */
  readonly position: number;
  readonly at: number;
  readonly spiffeId: string | undefined;
  readonly ttlMs: number | undefined;
  /** Position of the intent that redeemed it. */
  readonly spentBy: number | undefined;
}

export interface RevocationOrder {
  readonly by: RevocationBy;
  /** In the form that `revocationForms` of `wire` has for its kind. */
  readonly value: string;
  /** `removeFromCRL` releases what stands of the same kind and value with `certificateHold`. */
  readonly reason: RevocationReason;
  /**
   * Forbids later intents for that SPIFFE ID, key, issuer or provisioner for good. Default false: then a new token is
   * needed. A key revoked for keyCompromise is always blocked (CA/B BR 6.1.1.3: never certify a key known to be
   * compromised), and an issuer for that or for cACompromise.
   */
  readonly block?: boolean;
  /** Who ordered it: a SPIFFE ID or `operator`. */
  readonly orderedBy: string;
}

export interface RevocationRecord {
  readonly kind: 'revocation';
  /** Its own cut-off: certificates ordered below it are covered. */
  readonly position: number;
  /** Position of the revocation before it, 0 for the first: a reader detects a gap. */
  readonly previous: number;
  readonly at: number;
  readonly by: RevocationBy;
  readonly value: string;
  readonly reason: RevocationReason;
  readonly block: boolean;
  readonly orderedBy: string;
}

export interface RevocationOutcome {
  readonly ok: true;
  readonly record: RevocationRecord;
  /** True where an earlier record is answered: by the same serial, or of what is blocked. */
  readonly repeated: boolean;
  /** Unexpired certificates that it covers, open intents included. */
  readonly matched: number;
}

export interface RevocationPreview {
  readonly ok: true;
  readonly matched: number;
  /** The record that a repeat would answer. */
  readonly earlier: RevocationRecord | undefined;
}

export type LedgerRecord =
  | IntentRecord
  | IssuedRecord
  | AbandonedRecord
  | TokenRecord
  | RevocationRecord;

export interface LedgerStatus {
  /** Position of the newest record, 0 when empty. */
  readonly position: number;
  /** Position of the newest revocation, 0 when there is none. */
  readonly revocationPosition: number;
  readonly issued: number;
  readonly abandoned: number;
  readonly openIntents: number;
  readonly revocations: number;
  readonly tokens: number;
  /** The newest row of the audit trail. */
  readonly audit: AuditHead;
}
