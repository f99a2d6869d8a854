import type { Row } from '../ledger-rows.ts';
import type { SqliteAccess } from '../sqlite-access.ts';
import type { EdgeRecord } from './edge-records.ts';
import { type EdgeStore, forgottenAtOnce } from './edge-store.ts';

/** The records of edges in SQLite. */
export function sqliteEdge(sql: SqliteAccess): EdgeStore {
  return {
    record(kind, id) {
      const row = sql.get('SELECT * FROM edge_records WHERE kind = ? AND id = ?', kind, id);
      return row && edgeRecordOf(row);
    },

    records: ({ kind, owner, after, limit }) =>
      sql
        .all(
          'SELECT * FROM edge_records WHERE kind = ? AND owner = ? AND id > ? ORDER BY id LIMIT ?',
          kind,
          owner,
          after,
          limit,
        )
        .map(edgeRecordOf),

    put: ({ kind, id, owner, version, expiresAt, body }) =>
      sql.run(
        'INSERT OR REPLACE INTO edge_records VALUES (?, ?, ?, ?, ?, ?)',
        kind,
        id,
        owner,
        version,
        expiresAt,
        body,
      ),

    remove: (kind, id) => sql.run('DELETE FROM edge_records WHERE kind = ? AND id = ?', kind, id),

    forget: (at) =>
      sql.run(
        `DELETE FROM edge_records WHERE (kind, id) IN
         (SELECT kind, id FROM edge_records WHERE expires_at <= ? LIMIT ${forgottenAtOnce})`,
        at,
      ),
  };
}

/** The database is ours alone, so its words are trusted. */
export function edgeRecordOf(row: Row): EdgeRecord {
  return {
    kind: String(row.kind),
    id: String(row.id),
    owner: String(row.owner),
    version: Number(row.version),
    expiresAt: Number(row.expires_at),
    body: String(row.body),
  };
}
