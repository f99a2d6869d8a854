import { isFinal } from '../ledger-rows.ts';
import type { SqliteAccess } from '../sqlite-access.ts';
import { eraBits, keyOf } from '../sqlite-intent-index.ts';
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

/** What is in no index is not found by a revocation; what is there beyond the intents finds nothing. */
const indexed: readonly TableCheck[] = (
  [
    ['name', 'spiffe_id', 'i.spiffe_id'],
    ['key', 'key', keyOf('i.spki_hash')],
  ] as const
).map(([by, column, value]) => ({
  text: () => `SELECT CAST(i.position AS TEXT) AS place, i.serial AS said, NULL AS found
    FROM intents AS i LEFT JOIN intents_by_${by} AS x
      ON x.era = i.position >> ${eraBits} AND x.${column} = ${value} AND x.position = i.position
    WHERE i.position > :above AND i.position <= :upTo
      AND i.position <= (SELECT up_to FROM intent_index) AND ${value} IS NOT NULL AND x.era IS NULL`,
  finding: ({ place, said }) =>
    `ledger record ${place} (intent of "${said}"): missing among intents by ${by}`,
}));

const ofPositions = [...checksOfPositions, ...checksOfOutcome, ...checksOfArchive, ...indexed];

const indexEnd: TableCheck = {
  text: () => `SELECT CAST(up_to AS TEXT) AS place, CAST(position AS TEXT) AS said, NULL AS found
    FROM head LEFT JOIN intent_index WHERE up_to IS NULL OR up_to > position`,
  finding: ({ place, said }) =>
    `end of the indexes over intents: changed: it is ${place}, the newest position is ${said}`,
};

/** Nothing of ours is done by the database itself. */
const triggers: TableCheck = {
  text: () =>
    "SELECT name AS place, type AS said, NULL AS found FROM sqlite_schema WHERE type IN ('trigger', 'view')",
  finding: ({ place, said }) => `${said} "${place}" of the database: slipped in`,
};

export function sqliteChecks(sql: SqliteAccess): CheckStore {
  return {
    contradictions(values) {
      const checks =
        values.above > 0 ? ofPositions : [...checksOfWhole, triggers, indexEnd, ...ofPositions];
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
