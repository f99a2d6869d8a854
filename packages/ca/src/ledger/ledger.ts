import type { CountersignError, Denial } from '@countersign/base';
import type { RevocationBy } from '@countersign/wire';
import type { RevocationReason } from '@countersign/x509';
import type { AuditHead, AuditRow } from './audit-trail.ts';
import type { EdgeState } from './edge/edge-records.ts';
import type { Acknowledgement, Lease, LeaseHold } from './lease-records.ts';
import type { NumberedList } from './list-numbers.ts';
import type { NotedRefusal } from './refusal-notes.ts';
import type {
  RetentionOrder,
  RetentionState,
  RetentionTurn,
} from './retention/retention-records.ts';
import type {
  BundleHolder,
  BundleReport,
  DocumentChange,
  LivePage,
  SharedDocument,
} from './rotation-records.ts';

export type { Acknowledgement, ClosedConnections, Lease, LeaseHold } from './lease-records.ts';
export type { NotedRefusal } from './refusal-notes.ts';

/**
 * What the authority has promised, in order. The one place where an issue or a revocation is committed.
 *
 * Positions. Every intent, issued, abandoned, token and revocation record takes the next position (1, 2, 3, …).
 * They are assigned under one locked head row inside the committing transaction, a batch per lock, so that no reader
 * ever sees a gap: whoever has read up to `n` has read everything up to `n` for good.
 *
 * Durability. A promise resolves only when its record survives a power cut (MemoryLedger: never; it is for tests).
 * What a crash leaves:
 * - before {@link Ledger.intend} resolved: nothing was signed. The intent may be there; the token is spent exactly if it is.
 * - after the intent, before {@link Ledger.issued}: an orphan. {@link Ledger.orphans} lists it at start-up, and the
 *   authority abandons it with a reason. Its serial is never used again.
 * - after issued: the certificate is in the ledger, whether or not the caller got it.
 * - a revocation stands once `revoke` resolved; it may stand although the caller never heard so.
 *
 * Refusals are values ({@link Denial}) and poison nobody else in their batch. A broken ledger throws
 * `ERR_LEDGER_FAILED` from then on, for every call: fail closed. A ledger whose database cannot be reached throws
 * `ERR_LEDGER_UNAVAILABLE` until it can be again; what was asked for meanwhile may stand or not, as after a crash.
 */
export interface Ledger extends EdgeState {
  /**
   * Orders one certificate: redeems the grant's token, checks blocks and revocations, assigns position and serial, in
   * one transaction. Nothing may be signed before it resolved.
   *
   * Denials: `ERR_TOKEN_UNKNOWN`, `ERR_TOKEN_SPENT`, `ERR_TOKEN_EXPIRED`, `ERR_TOKEN_VOID`, `ERR_LEDGER_BLOCKED`,
   * `ERR_LEDGER_REVOKED`, `ERR_LEDGER_NEEDS_TOKEN`, `ERR_LEDGER_CERTIFICATE_UNKNOWN`, `ERR_CSR_KEY_REUSED`.
   */
  intend(draft: IntentDraft): Promise<Intent | Denial>;

  /** Completes an intent. @throws ERR_LEDGER_STATE unless the intent is open and its serial is `issued.serialHex` */
  issued(issued: IssuedCertificate): Promise<{ readonly position: number }>;

  /** Closes an intent without a certificate. @throws ERR_LEDGER_STATE unless it is open */
  abandoned(intent: number, reason: string): Promise<{ readonly position: number }>;

  /**
   * The only commit of "revoke and cut". One record, whose own position is the cut-off: it covers every certificate
   * ordered before it, open intents included. A repeat by the same serial answers the earlier record.
   *
   * Denials: `ERR_LEDGER_CERTIFICATE_UNKNOWN` (no such serial), `ERR_LEDGER_ORDER` (a block of what can't be ordered
   * again; a value that is malformed), `ERR_LEDGER_NOT_HELD` (a release of what is not held).
   */
  revoke(order: RevocationOrder): Promise<RevocationOutcome | Denial>;

  /** What `revoke` would answer, without a record. */
  previewRevocation(order: RevocationOrder): Promise<RevocationPreview | Denial>;

  /** Revocations with a position above `position`, ascending, at most `limit` (1–10000). */
  revocationsAfter(position: number, limit: number): Promise<readonly RevocationRecord[]>;

  /**
   * Told after each commit that held a revocation, with the position of the newest; a wake-up, not the news itself:
   * read {@link Ledger.revocationsAfter}. Answers the function that ends it.
   */
  onCommit(listener: (headRevocationPosition: number) => void): () => void;

  /**
   * The certificates that revocations cover, in the order of the revocations and, within one, of the intents: those
   * behind the cursor, at most `limit` (1–10000). A page never ends the search by being empty: `more` says so.
   * Intents count whether they were completed or not, and one that several revocations cover comes once for each.
   */
  revokedAfter(cursor: RevokedCursor, limit: number): Promise<RevokedPage>;

  /** The positions of what a revocation of any kind covers, or would cover: a page of them. */
  coveredRuns(question: CoveredQuestion): Promise<CoveredRuns>;
  /** When certificates end, by their serials; undefined for those that were never ordered. */
  endsOf(serials: readonly string[]): Promise<readonly (number | undefined)[]>;

  /** The state of a certificate by its serial; `unknown` for one that this ledger never ordered. */
  certificateStatus(serialHex: string): Promise<CertificateStatus>;
  certificate(serialHex: string): Promise<CertificateRecord | undefined>;
  /** Issued certificates, newest first, at most `limit` (1–10000, default 100). Every criterion given must match. */
  findCertificates(query: CertificateQuery): Promise<readonly CertificateRecord[]>;

  /** @throws ERR_LEDGER_STATE where the id exists */
  createToken(draft: TokenDraft): Promise<TokenRecord>;
  /**
   * What a token grants, for building the draft; it is redeemed by {@link Ledger.intend} alone. The same `ERR_TOKEN_*`
   * denials as there. The secret's hash is compared in constant time; an unknown id and a wrong secret are one denial.
   */
  checkToken(
    id: string,
    secretHash: string,
  ): Promise<({ readonly ok: true } & TokenRecord) | Denial>;

  /** The newest revocation that blocks this SPIFFE ID, key or provisioner for good; undefined where none does. */
  blocking(
    by: Exclude<RevocationBy, 'serial'>,
    value: string,
  ): Promise<RevocationRecord | undefined>;

  /** Intents that are neither issued nor abandoned, ascending. */
  openIntents(): Promise<readonly IntentRecord[]>;
  /**
   * Those among them that nobody is going to end, for start-up to abandon: they were there when the ledger was opened
   * or, where several processes share it, whoever ordered them is gone.
   */
  orphans(): Promise<readonly IntentRecord[]>;
  status(): Promise<LedgerStatus>;
  /** Every record above `position` in order, at most `limit` (1–10000): for the auditor and for export. */
  recordsAfter(position: number, limit: number): Promise<readonly LedgerRecord[]>;

  /**
   * Takes or renews an edge's lease and acknowledges everything up to `position`. The lease ends `maxSilenceMs` after
   * the last call: by then that edge fails closed by itself.
   *
   * Denials: `ERR_LEDGER_LEASE` where the instance is live under another SPIFFE ID, `position` is above the head, or
   * that SPIFFE ID holds 256 live leases already.
   */
  holdLease(hold: LeaseHold): Promise<({ readonly ok: true } & Lease) | Denial>;
  /** On a clean shut-down. Nothing happens where there is no such lease of that SPIFFE ID. */
  releaseLease(instance: string, spiffeId: string): Promise<void>;
  /** Leases that are live now, by instance. */
  leases(): Promise<readonly Lease[]>;
  /** The acknowledgements that cover the revocation at `position`: for each instance the first at or above it. Kept 7 days. */
  acknowledgements(position: number): Promise<readonly Acknowledgement[]>;

  /**
   * Puts a refusal that left no record into the audit trail. It is not waited for: refusals alike are counted together
   * and written about once a second, and before the ledger closes.
   */
  noteRefusal(refusal: NotedRefusal): void;
  /** Rows of the audit trail behind `seq`, in order, at most `limit` (1–10000). */
  auditAfter(seq: number, limit: number): Promise<readonly AuditRow[]>;

  /** Text that all processes over the ledger share, beside its records. */
  document(name: string): Promise<SharedDocument | undefined>;
  /** With a row in the audit trail. Denials: `ERR_LEDGER_DOCUMENT` where its version is another by now. */
  changeDocument(
    change: DocumentChange,
  ): Promise<{ readonly ok: true; readonly version: number } | Denial>;
  /** Keeps what the holder of a certificate said of its trust bundle; of an unknown certificate nothing. */
  reportBundle(report: BundleReport): Promise<void>;
  /** What was reported by those who hold leases. */
  leaseHolders(): Promise<readonly BundleHolder[]>;
  /** Certificates above a position that are neither over nor revoked, among at most `limit` (1–10000). */
  liveCertificates(after: number, limit: number): Promise<LivePage>;

  /**
   * The next page of a backup, as it is: records at their own positions, audit rows with their own hashes. What it makes
   * is to be proved afterwards.
   *
   * @throws ERR_LEDGER_STATE unless each follows right after the newest one
   */
  restore(records: readonly LedgerRecord[], rows: readonly AuditRow[]): Promise<void>;

  /** The number of the next list at a path: the one that is wanted, or a higher one. None where it would know less than the last. */
  takeListNumber(path: string, list: NumberedList): Promise<string | undefined>;

  /** One step of archiving what ended long ago. Records keep their positions, and are found by those, by serial and by key. */
  archiveEnded(order: RetentionOrder): Promise<RetentionTurn>;
  retention(): Promise<RetentionState>;

  /** Why calls throw now; undefined while the ledger works. */
  readonly failure: CountersignError | undefined;

  /** Commits what is under way, then lets the store go. Later calls throw `ERR_LEDGER_CLOSED`. */
  close(): Promise<void>;
}

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
}

export interface IssuedCertificate {
  /** Position of the intent. */
  readonly intent: number;
  readonly serialHex: string;
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
}

/** What a revocation covers, told by positions: see `coveredRuns`. */
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

export type { RevocationBy } from '@countersign/wire';

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
