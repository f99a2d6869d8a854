import type { AuditRow } from './audit-trail.ts';
import type { IntentRecord, LedgerRecord, LoggedCertificate, RevocationRecord } from './ledger.ts';
import * as rows from './ledger-rows.ts';
import type { SqliteAccess } from './sqlite-access.ts';
import { SqliteEdges } from './sqlite-edges.ts';

/** What is read from one end to the other, a page at a time. */
export class SqlitePages extends SqliteEdges {
  readonly #all: SqliteAccess['all'];

  constructor(sql: SqliteAccess) {
    super(sql);
    this.#all = sql.all;
  }

  revocationsAfter(position: number, limit: number): readonly RevocationRecord[] {
    return this.#all(
      'SELECT * FROM revocations WHERE position > ? ORDER BY position LIMIT ?',
      position,
      limit,
    ).map(rows.revocationOf);
  }

  intentsBetween(above: number, below: number, limit: number): readonly IntentRecord[] {
    return this.#all(
      'SELECT * FROM intents WHERE position > ? AND position < ? ORDER BY position LIMIT ?',
      above,
      below,
      limit,
    ).map(rows.intentOf);
  }

  auditAfter(seq: number, limit: number): readonly AuditRow[] {
    return this.#all('SELECT * FROM audit WHERE seq > ? ORDER BY seq LIMIT ?', seq, limit).map(
      rows.auditOf,
    );
  }

  recordsAfter(
    position: number,
    limit: number,
    tables = rows.recordTables,
  ): readonly LedgerRecord[] {
    const found = tables.flatMap(({ select, recordOf }) =>
      this.#all(`${select} > ? ORDER BY 1 LIMIT ?`, position, limit).map(recordOf),
    );
    return found.sort((a, b) => a.position - b.position).slice(0, limit);
  }

  certificatesAfter(position: number, limit: number): readonly LoggedCertificate[] {
    const found = ['certificates', 'archived_certificates'].flatMap((table) => {
      const text = `SELECT position, der FROM ${table} WHERE position > ? ORDER BY position LIMIT ?`;
      return this.#all(text, position, limit).map(rows.loggedOf);
    });
    return found.sort((a, b) => a.position - b.position).slice(0, limit);
  }
}
