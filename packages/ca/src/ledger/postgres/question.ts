import type { AuditRow } from '../audit-trail.ts';
import type { CheckQuestions } from '../checks/postgres-checks.ts';
import type { MarkedDocument } from '../document-mark.ts';
import type { EdgeQuestions } from '../edge/postgres-edge.ts';
import type {
  Acknowledgement,
  CertificateQuery,
  CertificateRecord,
  IntentRecord,
  Lease,
  LedgerRecord,
  LedgerStatus,
  LoggedCertificate,
  RevocationBy,
  RevocationRecord,
  TokenRecord,
} from '../ledger.ts';
import type { CoveredRange } from '../ledger-store.ts';
import type { NumberedList } from '../list-numbers.ts';
import type { ArchiveQuestions } from '../retention/postgres-archive.ts';
import type { BundleHolder, LiveCertificate } from '../rotation-records.ts';

/** What the rules may ask the tables, by name: what it is asked with, and what is answered. */
export interface Questions extends ArchiveQuestions, EdgeQuestions, CheckQuestions {
  token: { with: [id: string]; answer: TokenRecord | undefined };
  intent: { with: [position: number]; answer: StoredIntent | undefined };
  revocations: { with: [by: RevocationBy, value: string]; answer: NamedRevocations };
  covered: {
    with: [
      by: Exclude<RevocationBy, 'serial'>,
      value: string,
      at: number,
      above: number,
      upTo: number,
    ];
    answer: number;
  };
  wideRevocations: { with: []; answer: readonly RevocationRecord[] };
  intentsBetween: {
    with: [above: number, below: number, limit: number];
    answer: readonly IntentRecord[];
  };
  coveredIntents: {
    with: [covered: CoveredRange, limit: number];
    answer: readonly IntentRecord[];
  };
  lease: { with: [instance: string]; answer: Lease | undefined };
  liveLeases: { with: [at: number]; answer: readonly Lease[] };
  acknowledgements: { with: [position: number]; answer: readonly Acknowledgement[] };
  document: { with: [name: string]; answer: MarkedDocument };
  documentNames: { with: []; answer: readonly string[] };
  leaseHolders: { with: []; answer: readonly BundleHolder[] };
  openTokens: {
    with: [after: number, at: number, limit: number];
    answer: readonly TokenRecord[];
  };
  unexpired: {
    with: [after: number, at: number, limit: number];
    answer: readonly LiveCertificate[];
  };
  certificate: { with: [intent: number]; answer: CertificateRecord | undefined };
  findCertificates: { with: [query: CertificateQuery]; answer: readonly CertificateRecord[] };
  openIntents: { with: []; answer: readonly IntentRecord[] };
  orphans: { with: []; answer: readonly IntentRecord[] };
  revocationsAfter: {
    with: [position: number, limit: number];
    answer: readonly RevocationRecord[];
  };
  recordsAfter: { with: [position: number, limit: number]; answer: readonly LedgerRecord[] };
  certificatesAfter: {
    with: [position: number, limit: number];
    answer: readonly LoggedCertificate[];
  };
  auditAfter: { with: [seq: number, limit: number]; answer: readonly AuditRow[] };
  status: { with: []; answer: LedgerStatus };
  numberedList: { with: [path: string]; answer: NumberedList | undefined };
}

export interface StoredIntent {
  readonly record: IntentRecord;
  readonly outcome: 'issued' | 'abandoned' | undefined;
}

/** Of one kind and value. */
export interface NamedRevocations {
  readonly latest: RevocationRecord | undefined;
  readonly blocking: RevocationRecord | undefined;
  /** The newest that is neither a hold nor a release. */
  readonly final: RevocationRecord | undefined;
}

export type QuestionName = keyof Questions;

export interface Question<N extends QuestionName = QuestionName> {
  readonly name: N;
  readonly with: Questions[N]['with'];
}

/** Answers by {@link keyOf} their question. */
export type Answers = Map<string, unknown>;

export function keyOf<N extends QuestionName>(name: N, asked: Questions[N]['with']): string {
  return `${name} ${JSON.stringify(asked)}`;
}
