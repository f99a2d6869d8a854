import * as rows from '../ledger-rows.ts';
import type { SqliteAccess } from '../sqlite-access.ts';
import { unindexIntent } from '../sqlite-intent-index.ts';
import type { ArchiveStore } from './archive-store.ts';
import { retentionOf } from './retention-rows.ts';

/** The archive in SQLite: tables with the columns of the others, and a last one that says which revocation covered it. */
export function sqliteArchive(sql: SqliteAccess): ArchiveStore {
  return {
    state: () => retentionOf(sql.get('SELECT * FROM retention WHERE id = 1') ?? {}),

    keepState(state) {
      sql.run(
        `UPDATE retention SET phase = ?, after = ?, holder = ?, held_until = ?, certificates = ?,
         tokens = ?, revocations = ?, round = ?, ended_before = ?, finished_at = ? WHERE id = 1`,
        state.phase,
        state.after,
        state.holder ?? null,
        state.heldUntil,
        state.certificates,
        state.tokens,
        state.revocations,
        state.round,
        state.endedBefore,
        state.finishedAt,
      );
    },

    intentsAfter: (after, limit) =>
      sql
        .all('SELECT * FROM intents WHERE position > ? ORDER BY position LIMIT ?', after, limit)
        .map((row) => ({ record: rows.intentOf(row), outcome: rows.outcomeOf(row) })),

    tokensAfter: (after, limit) =>
      sql
        .all('SELECT * FROM tokens WHERE position > ? ORDER BY position LIMIT ?', after, limit)
        .map(rows.tokenOf),

    move({ intents, tokens, revocations }) {
      for (const { position, revocation } of intents) {
        sql.run(
          `INSERT INTO archived_intents (${rows.intentColumns}, outcome, revocation)
           SELECT ${rows.intentColumns}, outcome, ? FROM intents WHERE position = ?`,
          revocation ?? null,
          position,
        );
        for (const table of ['certificates', 'abandoned']) {
          sql.run(
            `INSERT INTO archived_${table} SELECT * FROM ${table} WHERE intent = ?`,
            position,
          );
          sql.run(`DELETE FROM ${table} WHERE intent = ?`, position);
        }
        unindexIntent(sql, position);
        sql.run('DELETE FROM intents WHERE position = ?', position);
      }
      for (const position of tokens) moveRow('tokens', position);
      for (const { position, intent, covering } of revocations) {
        moveRow('revocations', position);
        sql.run(
          'UPDATE archived_intents SET revocation = ? WHERE position = ?',
          covering ?? null,
          intent,
        );
      }
    },

    archived(intent) {
      const row = sql.get('SELECT revocation FROM archived_intents WHERE position = ?', intent);
      if (row === undefined) return undefined;
      const position = row.revocation ?? null;
      const revocation =
        position === null
          ? undefined
          : (sql.get('SELECT * FROM revocations WHERE position = ?', position) ??
            sql.get('SELECT * FROM archived_revocations WHERE position = ?', position));
      return { revocation: revocation && rows.revocationOf(revocation) };
    },

    isArchivedRevocation: (position) =>
      sql.get('SELECT 1 FROM archived_revocations WHERE position = ?', position) !== undefined,
  };

  function moveRow(table: 'tokens' | 'revocations', position: number): void {
    sql.run(`INSERT INTO archived_${table} SELECT * FROM ${table} WHERE position = ?`, position);
    sql.run(`DELETE FROM ${table} WHERE position = ?`, position);
  }
}
