import type { DatabaseSync } from 'node:sqlite';
import { CountersignError, fromHex } from '@countersign/base';
import { positionOfSerial } from '@countersign/spiffe/serial-position';
import {
  type AuditHead,
  type AuditRow,
  type AuditSaid,
  hashBytes,
  nextAuditRow,
} from './audit-trail.ts';
import type { CheckStore } from './checks/check-store.ts';
import { sqliteChecks } from './checks/sqlite-checks.ts';
import { carriedProvisioner, isWide } from './covers.ts';
import type { EdgeStore } from './edge/edge-store.ts';
import { sqliteEdge } from './edge/sqlite-edge.ts';
import { HalfWritten } from './half-written.ts';
import type {
  AbandonedRecord,
  CertificateQuery,
  CertificateRecord,
  IntentRecord,
  IssuedRecord,
  LedgerRecord,
  LedgerStatus,
  RevocationBy,
  RevocationRecord,
  TokenRecord,
} from './ledger.ts';
import * as rows from './ledger-rows.ts';
import type { CoveredRange, LedgerStore } from './ledger-store.ts';
import type { ArchiveStore } from './retention/archive-store.ts';
import { sqliteArchive } from './retention/sqlite-archive.ts';
import { RevokedValues } from './revoked-values.ts';
import { type SqliteAccess, sqliteAccess } from './sqlite-access.ts';
import { SqliteDocuments } from './sqlite-documents.ts';
import { IntentIndex } from './sqlite-intent-index.ts';
import {
  countCoveredQuestions,
  coveredIntentsQuestions,
  findCertificatesQuestions,
} from './sqlite-questions.ts';

/** As many are remembered; then it begins anew. */
const mostOpen = 4096;
const mostShown = 256;

/** The tables in SQLite. `begin` and `commit` frame a batch; between them the head row is ours and held here. */
export class SqliteStore extends SqliteDocuments implements LedgerStore {
  readonly #run: SqliteAccess['run'];
  readonly #get: SqliteAccess['get'];
  readonly #all: SqliteAccess['all'];
  #head: rows.Head;
  #headMoved = false;
  /** The file is ours alone, so they are read once. */
  #wide: readonly RevocationRecord[] | undefined;
  /** Of the intent that was read last: whoever reads one asks next how it ended. */
  #readOutcome:
    | { readonly position: number; readonly outcome: 'issued' | 'abandoned' | undefined }
    | undefined;
  /** Intents of late that are neither issued nor abandoned: whoever signed one is about to say so. */
  readonly #open = new Map<number, IntentRecord>();
  /** Intents of certificates that were shown of late: what they say is final, and a registrar shows its own with each order. */
  readonly #shown = new Map<number, IntentRecord>();
  #revoked: RevokedValues | undefined;
  readonly #index: IntentIndex;
  readonly #openedAt: number;
  readonly archive: ArchiveStore;
  readonly edge: EdgeStore;
  readonly checks: CheckStore;

  constructor(database: DatabaseSync) {
    const sql = sqliteAccess(database);
    super(sql);
    this.#run = sql.run;
    this.#get = sql.get;
    this.#all = sql.all;
    this.#index = new IntentIndex(sql);
    this.archive = sqliteArchive(sql);
    this.edge = sqliteEdge(sql);
    this.checks = sqliteChecks(sql);
    this.#head = this.#readHead();
    this.#openedAt = this.#head.position;
  }

  /** The file is ours alone, so its head row is what it was after the last batch. */
  begin(): void {
    this.#run('BEGIN IMMEDIATE');
    this.#headMoved = false;
  }

  /** Durable when it returns: synchronous = FULL syncs the log. */
  commit(): void {
    this.#index.follow(this.#head.position);
    this.writeHead();
    this.#run('COMMIT');
  }

  /** The head row as it stands here; `commit` does it, and whoever writes in a transaction of its own. */
  writeHead(): void {
    if (!this.#headMoved) return;
    const { position, revocation, intents, issued, abandoned, revocations, tokens } = this.#head;
    this.#run(
      `UPDATE head SET position = ?, revocation = ?, intents = ?, issued = ?, abandoned = ?,
       revocations = ?, tokens = ?, audit = ?, audit_hash = ? WHERE id = 1`,
      position,
      revocation,
      intents,
      issued,
      abandoned,
      revocations,
      tokens,
      this.#head.audit,
      hashBytes(this.#head.auditHash),
    );
  }

  /** Runs one operation of the batch; where it throws, what it wrote is undone and the rest of the batch stands. */
  isolate<T>(operation: () => T): T {
    const head = { ...this.#head };
    this.#run('SAVEPOINT operation');
    try {
      const result = operation();
      this.#run('RELEASE operation');
      return result;
    } catch (thrown) {
      this.#run('ROLLBACK TO operation');
      this.#run('RELEASE operation');
      this.#head = head;
      this.#forget();
      throw thrown;
    }
  }

  /**
   * Runs an operation that writes last, without a savepoint: that would keep a copy of each page which is written.
   *
   * @throws HalfWritten where it failed having written after all: the batch is to be run again, each isolated
   */
  attempt<T>(operation: () => T): T {
    const { position, audit } = this.#head;
    try {
      return operation();
    } catch (thrown) {
      const isUnmoved = this.#head.position === position && this.#head.audit === audit;
      if (isUnmoved && thrown instanceof CountersignError) throw thrown;
      throw new HalfWritten(thrown);
    }
  }

  /** Ends the batch as if it had never begun. */
  rollBack(): void {
    this.#run('ROLLBACK');
    this.#head = this.#readHead();
    this.#forget();
  }

  /** What was written may be undone. */
  #forget(): void {
    this.#wide = undefined;
    this.#readOutcome = undefined;
    this.#open.clear();
    this.#shown.clear();
    this.#index.forget();
  }

  nextPosition(): number {
    this.#move('position');
    return this.#head.position;
  }

  revocationHead(): number {
    return this.#head.revocation;
  }

  token(id: string): TokenRecord | undefined {
    const row = this.#get('SELECT * FROM tokens WHERE id = ?', id);
    return row && rows.tokenOf(row);
  }

  addToken(token: TokenRecord): void {
    this.#run(
      'INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)',
      token.position,
      token.at,
      token.id,
      token.secretHash,
      token.spiffeId ?? null,
      JSON.stringify(token.names),
      token.provisioner,
      token.ttlMs ?? null,
      token.expiresAt,
    );
    this.#move('tokens');
  }

  spendToken(id: string, intent: number): void {
    this.#run('UPDATE tokens SET spent_by = ? WHERE id = ? AND spent_by IS NULL', intent, id);
  }

  intent(position: number): IntentRecord | undefined {
    const known = this.#open.get(position) ?? this.#shown.get(position);
    if (known !== undefined) {
      const outcome = this.#open.has(position) ? undefined : 'issued';
      this.#readOutcome = { position, outcome };
      return known;
    }
    const row =
      this.#get('SELECT * FROM intents WHERE position = ?', position) ??
      this.#get('SELECT * FROM archived_intents WHERE position = ?', position);
    const intent = row && rows.intentOf(row);
    this.#readOutcome = row && { position, outcome: rows.outcomeOf(row) };
    if (intent !== undefined && this.#readOutcome?.outcome === 'issued') {
      if (this.#shown.size >= mostShown) this.#shown.clear();
      this.#shown.set(position, intent);
    }
    return intent;
  }

  /** The serial says where its intent stands, so no index over serials is kept. */
  intentBySerial(serialHex: string): IntentRecord | undefined {
    const position = positionOfSerial(fromHex(serialHex) ?? new Uint8Array());
    const intent = position === undefined ? undefined : this.intent(position);
    return intent?.serialHex === serialHex ? intent : undefined;
  }

  addIntent(intent: IntentRecord): void {
    this.#run(
      `INSERT INTO intents (${rows.intentColumns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      intent.position,
      intent.at,
      intent.serialHex,
      intent.spiffeId ?? null,
      JSON.stringify(intent.names),
      intent.spkiHash,
      intent.provisioner,
      intent.grant,
      intent.grantedBy ?? null,
      intent.issuer,
      intent.notAfter,
      intent.profile ?? null,
      intent.proofKey ?? null,
    );
    if (this.#open.size >= mostOpen) this.#open.clear();
    this.#open.set(intent.position, intent);
    this.#index.note(intent.spkiHash);
    this.#move('intents');
  }

  outcomeOf(intent: number): 'issued' | 'abandoned' | undefined {
    if (this.#readOutcome?.position === intent) return this.#readOutcome.outcome;
    const row =
      this.#get('SELECT outcome FROM intents WHERE position = ?', intent) ??
      this.#get('SELECT outcome FROM archived_intents WHERE position = ?', intent);
    return rows.outcomeOf(row ?? {});
  }

  addIssued(issued: IssuedRecord): void {
    const { intent, position, at, der } = issued;
    this.#run('INSERT INTO certificates VALUES (?, ?, ?, ?)', intent, position, at, der);
    this.#endIntent(intent, 'issued');
  }

  addAbandoned(abandoned: AbandonedRecord): void {
    const { intent, position, at, reason } = abandoned;
    this.#run('INSERT INTO abandoned VALUES (?, ?, ?, ?)', intent, position, at, reason);
    this.#endIntent(intent, 'abandoned');
  }

  openIntents(): readonly IntentRecord[] {
    return this.#all('SELECT * FROM intents WHERE outcome IS NULL ORDER BY position').map(
      rows.intentOf,
    );
  }

  orphans(): readonly IntentRecord[] {
    return this.openIntents().filter(
      ({ position, provisioner }) =>
        position <= this.#openedAt && provisioner !== carriedProvisioner,
    );
  }

  certificate(serialHex: string): CertificateRecord | undefined {
    const intent = this.intentBySerial(serialHex);
    if (intent === undefined) return undefined;
    const row =
      this.#get(`${rows.selectCertificates} WHERE c.intent = ?`, intent.position) ??
      this.#get(`${rows.selectArchivedCertificates} WHERE c.intent = ?`, intent.position);
    return row && rows.certificateOf(row);
  }

  findCertificates(query: CertificateQuery): readonly CertificateRecord[] {
    const found = findCertificatesQuestions(query, this.#index).flatMap(({ text, values }) =>
      this.#all(text, ...values).map(rows.certificateOf),
    );
    return found.sort((a, b) => b.position - a.position).slice(0, query.limit ?? 100);
  }

  addRevocation(revocation: RevocationRecord): void {
    this.#run(
      'INSERT INTO revocations VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      revocation.position,
      revocation.previous,
      revocation.at,
      revocation.by,
      revocation.value,
      revocation.reason,
      revocation.block ? 1 : 0,
      revocation.orderedBy,
    );
    this.#move('revocations');
    this.#head.revocation = revocation.position;
    if (isWide(revocation.by)) this.#wide = undefined;
    this.#revoked?.noteRevoked(revocation.by, revocation.value);
  }

  latestRevocation(by: RevocationBy, value: string): RevocationRecord | undefined {
    this.#revoked ??= new RevokedValues({ all: this.#all });
    if (!this.#revoked.mayName(by, value)) return undefined;
    const row = this.#get(
      'SELECT * FROM revocations WHERE value = ? AND by_what = ? ORDER BY position DESC LIMIT 1',
      value,
      by,
    );
    if (row !== undefined) return rows.revocationOf(row);
    this.#revoked.noteUnrevoked(by, value);
    return undefined;
  }

  finalRevocation(by: RevocationBy, value: string): RevocationRecord | undefined {
    const row = this.#get(
      `SELECT * FROM revocations WHERE value = ? AND by_what = ? AND ${rows.isFinal}
       ORDER BY position DESC LIMIT 1`,
      value,
      by,
    );
    return row && rows.revocationOf(row);
  }

  wideRevocations(): readonly RevocationRecord[] {
    this.#wide ??= this.#all(
      `SELECT * FROM revocations WHERE ${rows.isWide} ORDER BY position`,
    ).map(rows.revocationOf);
    return this.#wide;
  }

  blockingRevocation(by: RevocationBy, value: string): RevocationRecord | undefined {
    if (this.latestRevocation(by, value) === undefined) return undefined;
    const row = this.#get(
      'SELECT * FROM revocations WHERE value = ? AND by_what = ? AND block = 1 ORDER BY position DESC LIMIT 1',
      value,
      by,
    );
    return row && rows.revocationOf(row);
  }

  countCovered(by: RevocationBy, value: string, at: number, above: number, upTo: number): number {
    if (by === 'serial') {
      const intent = this.intentBySerial(value);
      if (intent === undefined || intent.notAfter <= at) return 0;
      return this.outcomeOf(intent.position) === 'abandoned' ? 0 : 1;
    }
    return countCoveredQuestions(by, value, [at, above, upTo], this.#index)
      .map(({ text, values }) => Number(this.#get(text, ...values)?.matched ?? 0))
      .reduce((sum, matched) => sum + matched, 0);
  }

  coveredIntents(covered: CoveredRange, limit: number): readonly IntentRecord[] {
    return coveredIntentsQuestions(covered, limit, this.#index)
      .flatMap(({ text, values }) => this.#all(text, ...values).map(rows.intentOf))
      .slice(0, limit);
  }

  auditHead(): AuditHead {
    return { seq: this.#head.audit, hash: this.#head.auditHash };
  }

  trail(said: AuditSaid, about?: LedgerRecord): void {
    this.addAudit(nextAuditRow(this.auditHead(), said, about));
  }

  addAudit(row: AuditRow): void {
    this.#run(
      'INSERT INTO audit VALUES (?, ?, ?, ?, ?)',
      row.seq,
      row.position ?? null,
      row.record === undefined ? null : hashBytes(row.record),
      row.said,
      hashBytes(row.hash),
    );
    this.#move('audit');
    this.#head.auditHash = row.hash;
  }

  status(): LedgerStatus {
    return rows.statusOf(this.#head);
  }

  #readHead(): rows.Head {
    return rows.headOf(this.#get('SELECT * FROM head WHERE id = 1') ?? {});
  }

  #move(counter: rows.Counter): void {
    this.#head[counter] += 1;
    this.#headMoved = true;
    if (!Number.isSafeInteger(this.#head[counter])) throw new RangeError(`head ${counter} is full`);
  }

  #endIntent(intent: number, outcome: 'issued' | 'abandoned'): void {
    this.#run('UPDATE intents SET outcome = ? WHERE position = ?', outcome, intent);
    this.#open.delete(intent);
    this.#readOutcome = undefined;
    this.#move(outcome);
  }
}
