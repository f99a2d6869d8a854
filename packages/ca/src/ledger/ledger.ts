import type { CountersignError, Denial } from '@countersign/base';
import type { RevocationBy } from '@countersign/wire';
import type { AuditRow } from './audit-trail.ts';
import type { Contradictions } from './checks/contradictions.ts';
import type { EdgeState } from './edge/edge-records.ts';
import type { Acknowledgement, Lease, LeaseHold } from './lease-records.ts';
import type {
  CertificateQuery,
  CertificateRecord,
  CertificateStatus,
  CoveredQuestion,
  CoveredRuns,
  Intent,
  IntentDraft,
  IntentRecord,
  IssuedCertificate,
  LedgerRecord,
  LedgerStatus,
  LoggedCertificate,
  RevocationOrder,
  RevocationOutcome,
  RevocationPreview,
  RevocationRecord,
  RevokedCursor,
  RevokedPage,
  TokenDraft,
  TokenRecord,
} from './ledger-records.ts';
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
  TokenPage,
} from './rotation-records.ts';

export type { Acknowledgement, ClosedConnections, Lease, LeaseHold } from './lease-records.ts';
export type * from './ledger-records.ts';
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
   * `ERR_LEDGER_REVOKED`, `ERR_LEDGER_NEEDS_TOKEN`, `ERR_LEDGER_CERTIFICATE_UNKNOWN`, `ERR_POLICY_PROFILE`,
   * `ERR_CSR_KEY_REUSED`.
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

  /** The certificates of the issued records above `position` in order, at most `limit` (1–10000): for the issuance log. */
  certificatesAfter(position: number, limit: number): Promise<readonly LoggedCertificate[]>;

  /** What the tables say against each other, of the records at `limit` (1–1000) positions above one: see `verifyAudit`. */
  contradictions(above: number, limit: number): Promise<Contradictions>;

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

  /**
   * Text that all processes over the ledger share, beside its records.
   *
   * @throws ERR_LEDGER_TAMPERED where it is not what the audit trail says was written last
   */
  document(name: string): Promise<SharedDocument | undefined>;
  /** With a row in the audit trail. Denials: `ERR_LEDGER_DOCUMENT` where its version is another by now. */
  changeDocument(
    change: DocumentChange,
  ): Promise<{ readonly ok: true; readonly version: number } | Denial>;
  /** Every document there is or was. @throws ERR_LEDGER_TAMPERED */
  proveDocuments(): Promise<void>;
  /** After a restore: the audit trail says of documents that did not come with it that there are none. */
  forgetLostDocuments(): Promise<void>;
  /** Keeps what the holder of a certificate said of its trust bundle; of an unknown certificate nothing. */
  reportBundle(report: BundleReport): Promise<void>;
  /** What was reported by those who hold leases. */
  leaseHolders(): Promise<readonly BundleHolder[]>;
  /** Join tokens above a position that could be redeemed now, among at most `limit` (1–10000). */
  openTokens(after: number, limit: number): Promise<TokenPage>;
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
