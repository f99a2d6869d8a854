import type { AuditHead, AuditRow, AuditSaid } from './audit-trail.ts';
import type { CheckStore } from './checks/check-store.ts';
import type { MarkedDocument } from './document-mark.ts';
import type { EdgeStore } from './edge/edge-store.ts';
import type {
  AbandonedRecord,
  Acknowledgement,
  CertificateQuery,
  CertificateRecord,
  IntentRecord,
  IssuedRecord,
  Lease,
  LedgerRecord,
  LedgerStatus,
  LoggedCertificate,
  OrderedFacts,
  RevocationBy,
  RevocationRecord,
  TokenRecord,
} from './ledger.ts';
import type { NumberedList } from './list-numbers.ts';
import type { ArchiveStore } from './retention/archive-store.ts';
import type { BundleHolder, LiveCertificate, SharedDocument } from './rotation-records.ts';

/**
 * The tables under a ledger, as the rules see them from inside one transaction. Synchronous: the rules run where the
 * data is. A store decides nothing; whatever it is told to write commits with the batch or not at all.
 */
export interface LedgerStore {
  /** The next position, from the locked head row. */
  nextPosition(): number;
  /** Position of the newest revocation, 0 when there is none. */
  revocationHead(): number;

  token(id: string): TokenRecord | undefined;
  addToken(token: TokenRecord): void;
  spendToken(id: string, intent: number): void;

  intent(position: number): IntentRecord | undefined;
  intentBySerial(serialHex: string): IntentRecord | undefined;
  addIntent(intent: IntentRecord): void;
  /** How an intent ended; undefined while it is open. */
  outcomeOf(intent: number): 'issued' | 'abandoned' | undefined;
  addIssued(issued: IssuedRecord): void;
  addAbandoned(abandoned: AbandonedRecord): void;
  openIntents(): readonly IntentRecord[];
  /** Open intents that nobody is going to end, ascending. */
  orphans(): readonly IntentRecord[];
  certificate(serialHex: string): CertificateRecord | undefined;
  findCertificates(query: CertificateQuery): readonly CertificateRecord[];

  /** Also moves the revocation head. */
  addRevocation(revocation: RevocationRecord): void;
  latestRevocation(by: RevocationBy, value: string): RevocationRecord | undefined;
  /** The newest that is neither a hold nor a release. */
  finalRevocation(by: RevocationBy, value: string): RevocationRecord | undefined;
  /** Of the kinds of `wideBys`, ascending; the same list as long as it is the same. */
  wideRevocations(): readonly RevocationRecord[];
  blockingRevocation(by: RevocationBy, value: string): RevocationRecord | undefined;
  revocationsAfter(position: number, limit: number): readonly RevocationRecord[];
  /** Intents that are not abandoned, unexpired at `at` and have this fact, of the positions above one and up to another. */
  countCovered(by: RevocationBy, value: string, at: number, above: number, upTo: number): number;
  /** Intents whose position lies strictly between, ascending; none that are archived. */
  intentsBetween(above: number, below: number, limit: number): readonly IntentRecord[];
  /** Intents with this fact whose position lies strictly between, ascending. */
  coveredIntents(covered: CoveredRange, limit: number): readonly IntentRecord[];

  lease(instance: string): Lease | undefined;
  putLease(lease: Lease): void;
  deleteLease(instance: string): void;
  liveLeases(at: number): readonly Lease[];
  /** Leases that ended by `at`, and acknowledgements from before `acknowledgedBefore`. */
  forgetEdges(at: number, acknowledgedBefore: number): void;
  addAcknowledgement(ack: Acknowledgement): void;
  acknowledgements(position: number): readonly Acknowledgement[];

  document(name: string): MarkedDocument;
  /** Of those that there are, and those that the audit trail names. */
  documentNames(): readonly string[];
  /** In the place of the one of that name. */
  putDocument(document: SharedDocument): void;
  /** In the place of what the same said before. */
  putHolder(holder: BundleHolder): void;
  forgetHolders(): void;
  /** Those with an instance. */
  leaseHolders(): readonly BundleHolder[];
  /** Join tokens above a position that are not spent and end after `at`, ascending. */
  openTokens(after: number, at: number, limit: number): readonly TokenRecord[];
  /** Issued certificates above a position that end after `at`, ascending. */
  unexpired(after: number, at: number, limit: number): readonly LiveCertificate[];

  /** The newest row of the audit trail. */
  auditHead(): AuditHead;
  /** Adds the row that follows the head, about a record or about a decision that left none. */
  trail(said: AuditSaid, about?: LedgerRecord): void;
  /** Adds a row as another ledger has chained it; it follows the head, which it moves. */
  addAudit(row: AuditRow): void;
  auditAfter(seq: number, limit: number): readonly AuditRow[];

  readonly archive: ArchiveStore;
  readonly edge: EdgeStore;
  readonly checks: CheckStore;
  numberedList(path: string): NumberedList | undefined;
  putNumberedList(path: string, list: NumberedList): void;

  status(): LedgerStatus;
  recordsAfter(position: number, limit: number): readonly LedgerRecord[];
  /** Of the issued records above `position`, ascending. */
  certificatesAfter(position: number, limit: number): readonly LoggedCertificate[];
}

/** Of intents that have one fact, and are found by it. */
export interface CoveredRange {
  readonly by: 'spiffe-id' | 'key' | 'proof-key' | 'provisioner';
  readonly value: string;
  readonly above: number;
  readonly below: number;
}

export function isIndexed(by: RevocationBy): by is 'spiffe-id' | 'key' | 'provisioner' {
  return by === 'spiffe-id' || by === 'key' || by === 'provisioner';
}

export function isInRange({ by, value, above, below }: CoveredRange, intent: IntentRecord) {
  const { position } = intent;
  return position > above && position < below && rangeFacts[by](intent) === value;
}

const rangeFacts: Readonly<
  Record<CoveredRange['by'], (intent: IntentRecord) => string | undefined>
> = {
  'spiffe-id': (intent) => intent.spiffeId,
  key: (intent) => intent.spkiHash,
  'proof-key': (intent) => intent.proofKey,
  provisioner: (intent) => intent.provisioner,
};

/** The facts of an intent that revocations are compared with, and those that a status is about. */
export function factsOf(intent: IntentRecord): OrderedFacts {
  const { position, serialHex, spiffeId, spkiHash, provisioner, issuer, at, notAfter, profile } =
    intent;
  const { proofKey } = intent;
  const token = tokenOf(intent);
  const said = { position, serialHex, spiffeId, spkiHash, provisioner, token, issuer, at };
  const kept = {
    ...(profile === undefined ? {} : { profile }),
    ...(proofKey === undefined ? {} : { proofKey }),
  };
  return { ...said, notAfter, ...kept };
}

/** Of a renewal whose certificate came from a token, it stands behind the serial. */
function tokenOf({ grant, grantedBy }: IntentRecord): string | undefined {
  if (grant === 'token') return grantedBy;
  return grant === 'renewal' ? grantedBy?.split(' ')[1] : undefined;
}
