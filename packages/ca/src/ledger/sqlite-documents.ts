import { type DocumentMark, type MarkedDocument, markOfRow } from './document-mark.ts';
import type { TokenRecord } from './ledger.ts';
import * as rows from './ledger-rows.ts';
import type { BundleHolder, LiveCertificate, SharedDocument } from './rotation-records.ts';
import type { SqliteAccess } from './sqlite-access.ts';
import { SqlitePages } from './sqlite-pages.ts';

/** What processes over a ledger share beside its records, and who said which trust bundle it holds. */
export class SqliteDocuments extends SqlitePages {
  readonly #run: SqliteAccess['run'];
  readonly #get: SqliteAccess['get'];
  readonly #all: SqliteAccess['all'];

  constructor(sql: SqliteAccess) {
    super(sql);
    this.#run = sql.run;
    this.#get = sql.get;
    this.#all = sql.all;
  }

  document(name: string): MarkedDocument {
    const row = this.#get('SELECT * FROM documents WHERE name = ?', name);
    return { document: row && rows.documentOf(row), mark: this.#markOf(name) };
  }

  /** In the words of the index over them. */
  #markOf(name: string): DocumentMark | undefined {
    const row = this.#get(
      `SELECT said FROM audit WHERE instr(said, '"document":') > 0
       AND json_extract(said, '$.document.name') = ? ORDER BY seq DESC LIMIT 1`,
      name,
    );
    return row && markOfRow({ said: String(row.said) });
  }

  documentNames(): readonly string[] {
    return this.#all(
      `SELECT name FROM documents UNION
       SELECT json_extract(said, '$.document.name') FROM audit
       WHERE instr(said, '"document":') > 0 ORDER BY 1`,
    ).map(({ name }) => String(name));
  }

  putDocument({ name, version, body }: SharedDocument): void {
    this.#run('INSERT OR REPLACE INTO documents VALUES (?, ?, ?)', name, version, body);
  }

  putHolder({ intent, instance, digest, at }: BundleHolder): void {
    const text = 'INSERT OR REPLACE INTO bundle_holders VALUES (?, ?, ?, ?)';
    this.#run(text, intent, instance, digest, at);
  }

  forgetHolders(): void {
    this.#run('DELETE FROM bundle_holders');
  }

  leaseHolders(): readonly BundleHolder[] {
    return this.#all("SELECT * FROM bundle_holders WHERE instance <> ''").map(rows.holderOf);
  }

  openTokens(after: number, at: number, limit: number): readonly TokenRecord[] {
    const text =
      'SELECT * FROM tokens WHERE position > ? AND spent_by IS NULL AND expires_at > ? ORDER BY position LIMIT ?';
    return this.#all(text, after, at, limit).map(rows.tokenOf);
  }

  unexpired(after: number, at: number, limit: number): readonly LiveCertificate[] {
    // In the order of the table and by no index (so says the sign): what has ended is archived.
    return this.#all(
      `SELECT i.*, h.digest, h.at AS heard_at FROM intents AS i
       LEFT JOIN bundle_holders AS h ON h.intent = i.position AND h.instance = ''
       WHERE i.position > ? AND +i.not_after > ? AND i.outcome = 'issued'
       ORDER BY i.position LIMIT ?`,
      after,
      at,
      limit,
    ).map(rows.liveOf);
  }
}
