import { fromHex } from '@countersign/base';
import { positionOfSerial } from '@countersign/spiffe';
import {
  type AuditHead,
  type AuditRow,
  type AuditSaid,
  auditGenesis,
  nextAuditRow,
} from '../audit-trail.ts';
import type { CheckStore } from '../checks/check-store.ts';
import { loadedChecks } from '../checks/postgres-checks.ts';
import { isWide, matches } from '../covers.ts';
import { type MarkedDocument, markOfRow } from '../document-mark.ts';
import type { EdgeStore } from '../edge/edge-store.ts';
import { type EdgeDelta, loadedEdge } from '../edge/postgres-edge.ts';
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
  RevocationBy,
  RevocationRecord,
  TokenRecord,
} from '../ledger.ts';
import type { Counter, Head } from '../ledger-rows.ts';
import { type CoveredRange, factsOf, isInRange, type LedgerStore } from '../ledger-store.ts';
import type { NumberedList } from '../list-numbers.ts';
import type { ArchiveStore } from '../retention/archive-store.ts';
import { type ArchiveDelta, loadedArchive } from '../retention/postgres-archive.ts';
import { isHold, isRelease } from '../revocation-order.ts';
import type { BundleHolder, LiveCertificate, SharedDocument } from '../rotation-records.ts';
import {
  type Answers,
  keyOf,
  type NamedRevocations,
  type Question,
  type QuestionName,
  type Questions,
} from './question.ts';

/** What a run of the rules wants written, in one transaction. */
export interface Delta {
  readonly head: Head;
  readonly tokens: Map<string, TokenRecord>;
  /** Tokens of earlier transactions, with the intent that redeemed each. */
  readonly spent: Map<string, number>;
  readonly intents: Map<number, IntentRecord>;
  /** By intent. */
  readonly issued: Map<number, IssuedRecord>;
  /** By intent. */
  readonly abandoned: Map<number, AbandonedRecord>;
  readonly revocations: RevocationRecord[];
  /** By instance; undefined where it was released. */
  readonly leases: Map<string, Lease | undefined>;
  readonly acknowledgements: Acknowledgement[];
  readonly audit: AuditRow[];
  readonly documents: Map<string, SharedDocument>;
  readonly holders: Map<string, BundleHolder>;
  forgetHolders: boolean;
  readonly archive: ArchiveDelta;
  readonly edge: EdgeDelta;
  readonly lists: Map<string, NumberedList>;
  forget: { readonly at: number; readonly acknowledgedBefore: number } | undefined;
}

/**
 * The tables as far as a run of the rules needs them: answers that were loaded before, and above them what the run
 * writes. A question without an answer is noted in `missing` and answered as if there were nothing: such a run counts
 * for nothing, but for the questions that it found. So the rules, which are synchronous, stand over a database that is not.
 */
export class LoadedStore implements LedgerStore {
  readonly missing = new Map<string, Question>();
  readonly delta: Delta;
  /** How often something was written. */
  writes = 0;
  readonly archive: ArchiveStore;
  readonly edge: EdgeStore;
  readonly checks: CheckStore;
  readonly #answers: Answers;

  constructor(head: Head, answers: Answers) {
    this.#answers = answers;
    this.delta = {
      head: { ...head },
      tokens: new Map(),
      spent: new Map(),
      intents: new Map(),
      issued: new Map(),
      abandoned: new Map(),
      revocations: [],
      leases: new Map(),
      acknowledgements: [],
      audit: [],
      documents: new Map(),
      holders: new Map(),
      forgetHolders: false,
      archive: { moves: [], state: undefined },
      edge: { records: new Map(), forgetAt: undefined },
      lists: new Map(),
      forget: undefined,
    };
    const wrote = () => {
      this.writes += 1;
    };
    this.archive = loadedArchive(
      (name, asked, otherwise) => this.#ask(name, asked as never, otherwise as never) as never,
      this.delta.archive,
      wrote,
    );
    this.edge = loadedEdge(
      (name, asked, otherwise) => this.#ask(name, asked as never, otherwise as never) as never,
      this.delta.edge,
      wrote,
    );
    this.checks = loadedChecks(
      (name, asked, otherwise) => this.#ask(name, asked as never, otherwise as never) as never,
    );
  }

  nextPosition(): number {
    this.#move('position');
    return this.delta.head.position;
  }

  revocationHead(): number {
    return this.delta.head.revocation;
  }

  token(id: string): TokenRecord | undefined {
    const written = this.delta.tokens.get(id);
    if (written !== undefined) return written;
    const stored = this.#ask('token', [id], undefined);
    const spentBy = this.delta.spent.get(id);
    return stored === undefined || spentBy === undefined ? stored : { ...stored, spentBy };
  }

  addToken(token: TokenRecord): void {
    this.delta.tokens.set(token.id, token);
    this.#move('tokens');
  }

  spendToken(id: string, intent: number): void {
    this.writes += 1;
    const written = this.delta.tokens.get(id);
    if (written === undefined) this.delta.spent.set(id, intent);
    else this.delta.tokens.set(id, { ...written, spentBy: intent });
  }

  intent(position: number): IntentRecord | undefined {
    return this.delta.intents.get(position) ?? this.#ask('intent', [position], undefined)?.record;
  }

  intentBySerial(serialHex: string): IntentRecord | undefined {
    const position = positionOfSerial(fromHex(serialHex) ?? new Uint8Array());
    const intent = position === undefined ? undefined : this.intent(position);
    return intent?.serialHex === serialHex ? intent : undefined;
  }

  addIntent(intent: IntentRecord): void {
    this.delta.intents.set(intent.position, intent);
    this.#move('intents');
  }

  outcomeOf(intent: number): 'issued' | 'abandoned' | undefined {
    if (this.delta.issued.has(intent)) return 'issued';
    if (this.delta.abandoned.has(intent)) return 'abandoned';
    if (this.delta.intents.has(intent)) return undefined;
    return this.#ask('intent', [intent], undefined)?.outcome;
  }

  addIssued(issued: IssuedRecord): void {
    this.delta.issued.set(issued.intent, issued);
    this.#move('issued');
  }

  addAbandoned(abandoned: AbandonedRecord): void {
    this.delta.abandoned.set(abandoned.intent, abandoned);
    this.#move('abandoned');
  }

  openIntents(): readonly IntentRecord[] {
    return this.#ask('openIntents', [], []);
  }

  orphans(): readonly IntentRecord[] {
    return this.#ask('orphans', [], []);
  }

  certificate(serialHex: string): CertificateRecord | undefined {
    const position = positionOfSerial(fromHex(serialHex) ?? new Uint8Array());
    if (position === undefined) return undefined;
    const found = this.#ask('certificate', [position], undefined);
    return found?.serialHex === serialHex ? found : undefined;
  }

  findCertificates(query: CertificateQuery): readonly CertificateRecord[] {
    return this.#ask('findCertificates', [query], []);
  }

  addRevocation(revocation: RevocationRecord): void {
    this.delta.revocations.push(revocation);
    this.#move('revocations');
    this.delta.head.revocation = revocation.position;
  }

  latestRevocation(by: RevocationBy, value: string): RevocationRecord | undefined {
    const written = this.delta.revocations.findLast(
      (found) => found.by === by && found.value === value,
    );
    return written ?? this.#ask('revocations', [by, value], none).latest;
  }

  finalRevocation(by: RevocationBy, value: string): RevocationRecord | undefined {
    const written = this.delta.revocations.findLast(
      (found) =>
        found.by === by &&
        found.value === value &&
        !isHold(found.reason) &&
        !isRelease(found.reason),
    );
    return written ?? this.#ask('revocations', [by, value], none).final;
  }

  wideRevocations(): readonly RevocationRecord[] {
    const stored = this.#ask('wideRevocations', [], noRecords);
    const written = this.delta.revocations.filter(({ by }) => isWide(by));
    return written.length === 0 ? stored : [...stored, ...written];
  }

  blockingRevocation(by: RevocationBy, value: string): RevocationRecord | undefined {
    const written = this.delta.revocations.findLast(
      (found) => found.block && found.by === by && found.value === value,
    );
    return written ?? this.#ask('revocations', [by, value], none).blocking;
  }

  revocationsAfter(position: number, limit: number): readonly RevocationRecord[] {
    return this.#ask('revocationsAfter', [position, limit], []);
  }

  countCovered(by: RevocationBy, value: string, at: number, above: number, upTo: number): number {
    if (by === 'serial') {
      const intent = this.intentBySerial(value);
      if (intent === undefined || intent.notAfter <= at) return 0;
      return this.outcomeOf(intent.position) === 'abandoned' ? 0 : 1;
    }
    const isMeant = (intent: IntentRecord | undefined): boolean =>
      intent !== undefined &&
      intent.position > above &&
      intent.position <= upTo &&
      intent.notAfter > at &&
      matches(by, value, factsOf(intent));
    const stored = this.#ask('covered', [by, value, at, above, upTo], 0);
    const written = [...this.delta.intents.values()].filter(isMeant).length;
    const ended = [...this.delta.abandoned.keys()].filter((intent) => isMeant(this.intent(intent)));
    return stored + written - ended.length;
  }

  /** Asked by reads alone, which write nothing that it would have to see. */
  intentsBetween(above: number, below: number, limit: number): readonly IntentRecord[] {
    return this.#ask('intentsBetween', [above, below, limit], []);
  }

  /** Asked by reads alone, as the one before. */
  coveredIntents(covered: CoveredRange, limit: number): readonly IntentRecord[] {
    const written = [...this.delta.intents.values()].filter((intent) => isInRange(covered, intent));
    return [...this.#ask('coveredIntents', [covered, limit], []), ...written].slice(0, limit);
  }

  lease(instance: string): Lease | undefined {
    const { leases } = this.delta;
    return leases.has(instance) ? leases.get(instance) : this.#ask('lease', [instance], undefined);
  }

  putLease(lease: Lease): void {
    this.writes += 1;
    this.delta.leases.set(lease.instance, lease);
  }

  deleteLease(instance: string): void {
    this.writes += 1;
    this.delta.leases.set(instance, undefined);
  }

  liveLeases(at: number): readonly Lease[] {
    const stored = this.#ask('liveLeases', [at], []);
    const { leases } = this.delta;
    const written = [...leases.values()].filter((lease) => lease !== undefined);
    return [...stored.filter((lease) => !leases.has(lease.instance)), ...written]
      .filter((lease) => lease.expiresAt > at)
      .sort((a, b) => (a.instance < b.instance ? -1 : 1));
  }

  forgetEdges(at: number, acknowledgedBefore: number): void {
    this.writes += 1;
    this.delta.forget = { at, acknowledgedBefore };
  }

  addAcknowledgement(ack: Acknowledgement): void {
    this.writes += 1;
    this.delta.acknowledgements.push(ack);
  }

  document(name: string): MarkedDocument {
    const stored = this.#ask('document', [name], noDocument);
    const written = this.delta.audit.map(markOfRow).findLast((mark) => mark?.name === name);
    return {
      document: this.delta.documents.get(name) ?? stored.document,
      mark: written ?? stored.mark,
    };
  }

  /** Asked by what writes nothing that it would have to see. */
  documentNames(): readonly string[] {
    return this.#ask('documentNames', [], []);
  }

  putDocument(document: SharedDocument): void {
    this.writes += 1;
    this.delta.documents.set(document.name, document);
  }

  putHolder(holder: BundleHolder): void {
    this.writes += 1;
    this.delta.holders.set(`${holder.intent} ${holder.instance}`, holder);
  }

  forgetHolders(): void {
    this.writes += 1;
    this.delta.forgetHolders = true;
    this.delta.holders.clear();
  }

  leaseHolders(): readonly BundleHolder[] {
    return this.#ask('leaseHolders', [], []);
  }

  openTokens(after: number, at: number, limit: number): readonly TokenRecord[] {
    return this.#ask('openTokens', [after, at, limit], []);
  }

  unexpired(after: number, at: number, limit: number): readonly LiveCertificate[] {
    return this.#ask('unexpired', [after, at, limit], []);
  }

  acknowledgements(position: number): readonly Acknowledgement[] {
    return this.#ask('acknowledgements', [position], []);
  }

  numberedList(path: string): NumberedList | undefined {
    return this.delta.lists.get(path) ?? this.#ask('numberedList', [path], undefined);
  }

  putNumberedList(path: string, list: NumberedList): void {
    this.writes += 1;
    this.delta.lists.set(path, list);
  }

  auditHead(): AuditHead {
    const { audit, auditHash } = this.delta.head;
    return { seq: audit, hash: auditHash };
  }

  trail(said: AuditSaid, about?: LedgerRecord): void {
    this.addAudit(nextAuditRow(this.auditHead(), said, about));
  }

  addAudit(row: AuditRow): void {
    this.delta.audit.push(row);
    this.#move('audit');
    this.delta.head.auditHash = row.hash;
  }

  auditAfter(seq: number, limit: number): readonly AuditRow[] {
    return this.#ask('auditAfter', [seq, limit], []);
  }

  status(): LedgerStatus {
    return this.#ask('status', [], nothing);
  }

  recordsAfter(position: number, limit: number): readonly LedgerRecord[] {
    return this.#ask('recordsAfter', [position, limit], []);
  }

  certificatesAfter(position: number, limit: number): readonly LoggedCertificate[] {
    return this.#ask('certificatesAfter', [position, limit], []);
  }

  #ask<N extends QuestionName>(
    name: N,
    asked: Questions[N]['with'],
    otherwise: Questions[N]['answer'],
  ): Questions[N]['answer'] {
    const key = keyOf(name, asked);
    if (this.#answers.has(key)) return this.#answers.get(key) as Questions[N]['answer'];
    this.missing.set(key, { name, with: asked });
    return otherwise;
  }

  #move(counter: Counter): void {
    const { head } = this.delta;
    this.writes += 1;
    head[counter] += 1;
    if (!Number.isSafeInteger(head[counter])) throw new RangeError(`head ${counter} is full`);
  }
}

const none: NamedRevocations = { latest: undefined, blocking: undefined, final: undefined };
const noDocument: MarkedDocument = { document: undefined, mark: undefined };
const noRecords: readonly RevocationRecord[] = [];

const nothing: LedgerStatus = {
  position: 0,
  revocationPosition: 0,
  issued: 0,
  abandoned: 0,
  openIntents: 0,
  revocations: 0,
  tokens: 0,
  audit: auditGenesis,
};
