import { isFinal } from '../ledger-rows.ts';
import type { SqliteAccess } from '../sqlite-access.ts';
import type { CheckStore } from './check-store.ts';
import {
  boundCheck,
  type CheckRow,
  checksOfArchive,
  checksOfOutcome,
  checksOfPositions,
  checksOfWhole,
  type TableCheck,
} from './table-checks.ts';

const ofPositions = [...checksOfPositions, ...checksOfOutcome, ...checksOfArchive];

/** Nothing of ours is done by the database itself. */
const triggers: TableCheck = {
  text: () =>
    "SELECT name AS place, type AS said, NULL AS found FROM sqlite_schema WHERE type IN ('trigger', 'view')",
  finding: ({ place, said }) => `${said} "${place}" of the database: slipped in`,
};

export function sqliteChecks(sql: SqliteAccess): CheckStore {
  return {
    contradictions(values) {
      const checks = values.above > 0 ? ofPositions : [...checksOfWhole, triggers, ...ofPositions];
      return checks.flatMap((check) => {
        const bound = boundCheck(
          check,
          (table) => table,
          values,
          () => '?',
        );
        const rows = sql.all(bound.text, ...bound.values) as unknown as CheckRow[];
        return rows.map(check.finding);
      });
    },

    archivedRevocations: (above, upTo) =>
      sql
        .all(
          `SELECT position, value, ${isFinal} AS final FROM archived_revocations
           WHERE position > ? AND position <= ? AND by_what = 'serial'`,
          above,
          upTo,
        )
        .map((row) => ({
          position: Number(row.position),
          serialHex: String(row.value),
          isFinal: row.final === 1,
        })),
  };
}
