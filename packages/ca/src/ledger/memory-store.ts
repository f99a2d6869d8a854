import {
  type AuditHead,
  type AuditRow,
  type AuditSaid,
  auditGenesis,
  nextAuditRow,
} from './audit-trail.ts';
import { noChecks } from './checks/check-store.ts';
import { isWide, matches } from './covers.ts';
import { type DocumentMark, type MarkedDocument, markOfRow } from './document-mark.ts';
import { MemoryEdge } from './edge/memory-edge.ts';
import type {
  AbandonedRecord,
  Acknowledgement,
  CertificateQuery,
  CertificateRecord,
  IntentRecord,
  IssuedRecord,
  Lease,
  LedgerRecord,
  LoggedCertificate,
  RevocationBy,
  RevocationRecord,
  TokenRecord,
} from './ledger.ts';
import { type CoveredRange, factsOf, isInRange, type LedgerStore } from './ledger-store.ts';
import type { NumberedList } from './list-numbers.ts';
import { MemoryArchive } from './retention/memory-archive.ts';
import { isHold, isRelease } from './revocation-order.ts';
import type { BundleHolder, LiveCertificate, SharedDocument } from './rotation-records.ts';

/** Tables in memory. Nothing here survives the process: for tests and ephemeral authorities. */
export class MemoryStore implements LedgerStore {
  readonly #records: LedgerRecord[] = [];
  readonly #intentsInOrder: IntentRecord[] = [];
  readonly #intentBySerial = new Map<string, number>();
  readonly #outcomes = new Map<number, IssuedRecord | AbandonedRecord>();
  readonly #tokens = new Map<string, TokenRecord>();
  readonly #revocations: RevocationRecord[] = [];
  readonly #named = new Map<string, RevocationRecord[]>();
  #wide: readonly RevocationRecord[] = [];
  readonly #leases = new Map<string, Lease>();
  #acknowledgements: Acknowledgement[] = [];
  readonly #documents = new Map<string, SharedDocument>();
  /** Of the newest row about each. */
  readonly #marks = new Map<string, DocumentMark>();
  readonly #lists = new Map<string, NumberedList>();
  readonly #holders = new Map<string, BundleHolder>();
  #head = 0;
  readonly #audit: AuditRow[] = [];
  #unchained: (readonly [AuditSaid, LedgerRecord | undefined])[] = [];
  readonly edge = new MemoryEdge();
  readonly checks = noChecks;
  readonly archive = new MemoryArchive({
    intents: () =>
      this.#intents().map((record) => ({ record, outcome: this.outcomeOf(record.position) })),
    tokens: () => [...this.#tokens.values()],
    revocation: (position) => this.#revocations.find((each) => each.position === position),
  });

  nextPosition(): number {
    this.#head += 1;
    return this.#head;
  }

  revocationHead(): number {
    return this.#revocations.at(-1)?.position ?? 0;
  }

  token(id: string): TokenRecord | undefined {
    const token = this.#tokens.get(id);
    return token === undefined || this.archive.has(token.position) ? undefined : token;
  }

  addToken(token: TokenRecord): void {
    this.#tokens.set(token.id, token);
    this.#append(token);
  }

  spendToken(id: string, intent: number): void {
    const token = this.#tokens.get(id);
    if (token === undefined) return;
    const spent = { ...token, spentBy: intent };
    this.#tokens.set(id, spent);
    this.#records[token.position - 1] = spent;
  }

  intent(position: number): IntentRecord | undefined {
    const record = this.#records[position - 1];
    return record?.kind === 'intent' ? record : undefined;
  }

  intentBySerial(serialHex: string): IntentRecord | undefined {
    return this.intent(this.#intentBySerial.get(serialHex) ?? 0);
  }

  addIntent(intent: IntentRecord): void {
    this.#append(intent);
    this.#intentsInOrder.push(intent);
    this.#intentBySerial.set(intent.serialHex, intent.position);
  }

  outcomeOf(intent: number): 'issued' | 'abandoned' | undefined {
    return this.#outcomes.get(intent)?.kind;
  }

  addIssued(issued: IssuedRecord): void {
    this.#append(issued);
    this.#outcomes.set(issued.intent, issued);
  }

  addAbandoned(abandoned: AbandonedRecord): void {
    this.#append(abandoned);
    this.#outcomes.set(abandoned.intent, abandoned);
  }

  openIntents(): readonly IntentRecord[] {
    return this.#intents().filter((intent) => !this.#outcomes.has(intent.position));
  }

  /** None: with the process that ordered them everything else went too. */
  orphans(): readonly IntentRecord[] {
    return [];
  }

  certificate(serialHex: string): CertificateRecord | undefined {
    const intent = this.intentBySerial(serialHex);
    const issued = intent === undefined ? undefined : this.#outcomes.get(intent.position);
    if (intent === undefined || issued?.kind !== 'issued') return undefined;
    const { kind: _kind, position: _position, at: _at, ...said } = intent;
    return {
      ...said,
      intent: intent.position,
      position: issued.position,
      issuedAt: issued.at,
      der: issued.der,
    };
  }

  findCertificates(query: CertificateQuery): readonly CertificateRecord[] {
    return this.#intents()
      .filter(({ position }) => query.spkiHash !== undefined || !this.archive.has(position))
      .map((intent) => this.certificate(intent.serialHex))
      .filter((found) => found !== undefined)
      .filter((found) => query.spiffeId === undefined || found.spiffeId === query.spiffeId)
      .filter((found) => query.spkiHash === undefined || found.spkiHash === query.spkiHash)
      .filter((found) => query.provisioner === undefined || found.provisioner === query.provisioner)
      .filter((found) => query.validAt === undefined || found.notAfter > query.validAt)
      .sort((a, b) => b.position - a.position)
      .slice(0, query.limit ?? 100);
  }

  addRevocation(revocation: RevocationRecord): void {
    this.#append(revocation);
    this.#revocations.push(revocation);
    const { by, value } = revocation;
    const named = this.#named.get(`${by} ${value}`);
    if (named === undefined) this.#named.set(`${by} ${value}`, [revocation]);
    else named.push(revocation);
    if (isWide(revocation.by)) this.#wide = [...this.#wide, revocation];
  }

  latestRevocation(by: RevocationBy, value: string): RevocationRecord | undefined {
    return this.#namedBy(by, value).findLast(({ position }) => !this.archive.has(position));
  }

  finalRevocation(by: RevocationBy, value: string): RevocationRecord | undefined {
    return this.#namedBy(by, value).findLast(({ reason }) => !isHold(reason) && !isRelease(reason));
  }

  wideRevocations(): readonly RevocationRecord[] {
    return this.#wide;
  }

  blockingRevocation(by: RevocationBy, value: string): RevocationRecord | undefined {
    return this.#namedBy(by, value).findLast(({ block }) => block);
  }

  revocationsAfter(position: number, limit: number): readonly RevocationRecord[] {
    const found: RevocationRecord[] = [];
    let at = this.#revocations.length;
    while ((this.#revocations[at - 1]?.position ?? 0) > position) at -= 1;
    for (; at < this.#revocations.length && found.length < limit; at += 1) {
      const revocation = this.#revocations[at] as RevocationRecord;
      if (!this.archive.has(revocation.position)) found.push(revocation);
    }
    return found;
  }

  countCovered(by: RevocationBy, value: string, at: number, above: number, upTo: number): number {
    return this.#intents()
      .filter(({ position }) => position > above && position <= upTo)
      .filter((intent) => this.outcomeOf(intent.position) !== 'abandoned' && intent.notAfter > at)
      .filter((intent) => matches(by, value, factsOf(intent))).length;
  }

  intentsBetween(above: number, below: number, limit: number): readonly IntentRecord[] {
    return this.#intents()
      .filter(({ position }) => position > above && position < below)
      .filter(({ position }) => !this.archive.has(position))
      .slice(0, limit);
  }

  coveredIntents(covered: CoveredRange, limit: number): readonly IntentRecord[] {
    return this.#intents()
      .filter((intent) => isInRange(covered, intent))
      .filter(({ position }) => !this.archive.has(position))
      .slice(0, limit);
  }

  lease(instance: string): Lease | undefined {
    return this.#leases.get(instance);
  }

  putLease(lease: Lease): void {
    this.#leases.set(lease.instance, lease);
  }

  deleteLease(instance: string): void {
    this.#leases.delete(instance);
  }

  liveLeases(at: number): readonly Lease[] {
    return [...this.#leases.values()]
      .filter((lease) => lease.expiresAt > at)
      .sort((a, b) => (a.instance < b.instance ? -1 : 1));
  }

  document(name: string): MarkedDocument {
    return { document: this.#documents.get(name), mark: this.#marks.get(name) };
  }

  documentNames(): readonly string[] {
    return [...new Set([...this.#documents.keys(), ...this.#marks.keys()])].sort();
  }

  putDocument(document: SharedDocument): void {
    this.#documents.set(document.name, document);
  }

  putHolder(holder: BundleHolder): void {
    this.#holders.set(`${holder.intent} ${holder.instance}`, holder);
  }

  forgetHolders(): void {
    this.#holders.clear();
  }

  leaseHolders(): readonly BundleHolder[] {
    return [...this.#holders.values()].filter(({ instance }) => instance !== '');
  }

  openTokens(after: number, at: number, limit: number): readonly TokenRecord[] {
    return [...this.#tokens.values()]
      .filter(
        ({ position, spentBy, expiresAt }) =>
          position > after && spentBy === undefined && expiresAt > at,
      )
      .slice(0, limit);
  }

  unexpired(after: number, at: number, limit: number): readonly LiveCertificate[] {
    const found: LiveCertificate[] = [];
    for (const record of this.#records.slice(after)) {
      if (found.length === limit) break;
      if (record.kind !== 'intent' || record.notAfter <= at) continue;
      if (this.outcomeOf(record.position) !== 'issued') continue;
      const { kind: _, ...intent } = record;
      found.push({ ...intent, holder: this.#holders.get(`${record.position} `) });
    }
    return found;
  }

  forgetEdges(at: number, acknowledgedBefore: number): void {
    for (const lease of this.#leases.values()) {
      if (lease.expiresAt <= at) this.#leases.delete(lease.instance);
    }
    this.#acknowledgements = this.#acknowledgements.filter((ack) => ack.at >= acknowledgedBefore);
  }

  addAcknowledgement(ack: Acknowledgement): void {
    this.#acknowledgements.push(ack);
  }

  acknowledgements(position: number): readonly Acknowledgement[] {
    const first = new Map<string, Acknowledgement>();
    for (const ack of this.#acknowledgements) {
      if (ack.position < position) continue;
      const held = first.get(ack.instance);
      if (held === undefined || ack.position < held.position) first.set(ack.instance, ack);
    }
    return [...first.values()].sort((a, b) => (a.instance < b.instance ? -1 : 1));
  }

  numberedList(path: string): NumberedList | undefined {
    return this.#lists.get(path);
  }

  putNumberedList(path: string, list: NumberedList): void {
    this.#lists.set(path, list);
  }

  auditHead(): AuditHead {
    return this.#chained().at(-1) ?? auditGenesis;
  }

  trail(said: AuditSaid, about?: LedgerRecord): void {
    if (said.document !== undefined) this.#marks.set(said.document.name, said.document);
    this.#unchained.push([said, about]);
  }

  addAudit(row: AuditRow): void {
    const mark = markOfRow(row);
    if (mark !== undefined) this.#marks.set(mark.name, mark);
    this.#chained().push(row);
  }

  auditAfter(seq: number, limit: number): readonly AuditRow[] {
    return this.#chained().slice(seq, seq + limit);
  }

  /** Nothing here survives the process, so the chain is computed when somebody asks for it. */
  #chained(): AuditRow[] {
    for (const [said, about] of this.#unchained) {
      this.#audit.push(nextAuditRow(this.#audit.at(-1) ?? auditGenesis, said, about));
    }
    this.#unchained = [];
    return this.#audit;
  }

  status() {
    const outcomes = [...this.#outcomes.values()];
    const issued = outcomes.filter((outcome) => outcome.kind === 'issued').length;
    return {
      position: this.#head,
      revocationPosition: this.revocationHead(),
      issued,
      abandoned: outcomes.length - issued,
      openIntents: this.openIntents().length,
      revocations: this.#revocations.length,
      tokens: this.#tokens.size,
      audit: { seq: this.auditHead().seq, hash: this.auditHead().hash },
    };
  }

  recordsAfter(position: number, limit: number): readonly LedgerRecord[] {
    return this.#records.slice(position, position + limit);
  }

  certificatesAfter(position: number, limit: number): readonly LoggedCertificate[] {
    const later = this.#records.slice(position).filter((record) => record.kind === 'issued');
    return later.slice(0, limit);
  }

  #namedBy(by: RevocationBy, value: string): readonly RevocationRecord[] {
    return this.#named.get(`${by} ${value}`) ?? [];
  }

  #append(record: LedgerRecord): void {
    this.#records.push(record);
  }

  #intents(): readonly IntentRecord[] {
    return this.#intentsInOrder;
  }
}
