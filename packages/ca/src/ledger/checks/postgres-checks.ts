import { isFinal } from '../ledger-rows.ts';
import type { Load } from '../postgres/loads.ts';
import type { Answers, Questions } from '../postgres/question.ts';
import type { ArchivedRevocation, CheckStore } from './check-store.ts';
import {
  boundCheck,
  type CheckRow,
  type CheckValues,
  checksOfArchive,
  checksOfOpen,
  checksOfPositions,
  checksOfWhole,
  type TableCheck,
} from './table-checks.ts';

/** What the rules may ask the tables about each other. */
export interface CheckQuestions {
  contradictions: { with: [values: CheckValues]; answer: readonly string[] };
  archivedRevocations: {
    with: [above: number, upTo: number];
    answer: readonly ArchivedRevocation[];
  };
}

type Name = keyof CheckQuestions;

export function loadedChecks(
  ask: <N extends Name>(
    name: N,
    asked: CheckQuestions[N]['with'],
    otherwise: CheckQuestions[N]['answer'],
  ) => CheckQuestions[N]['answer'],
): CheckStore {
  return {
    contradictions: (values) => ask('contradictions', [values], []),
    archivedRevocations: (above, upTo) => ask('archivedRevocations', [above, upTo], []),
  };
}

/** The statements that answer them. */
export function checkLoads(keyOf: (name: Name, asked: never) => string): {
  readonly [N in Name]: (asked: readonly Questions[N]['with'][], schema: string) => Load[];
} {
  return {
    contradictions: (asked, s) =>
      asked.flatMap(([values]) => {
        const key = keyOf('contradictions', [values] as never);
        const checks =
          values.above > 0 ? ofPositions : [...checksOfWhole, triggersIn(s), ...ofPositions];
        return checks.map((check) => ({
          name: `check-${allChecks.indexOf(check)}`,
          ...boundCheck(
            check,
            (table) => `${s}.${table}`,
            values,
            (index) => `$${index}`,
          ),
          read(found: readonly object[], answers: Answers) {
            const before = (answers.get(key) ?? []) as readonly string[];
            answers.set(key, [...before, ...(found as readonly CheckRow[]).map(check.finding)]);
          },
        }));
      }),

    archivedRevocations: (asked, s) =>
      asked.map(([above, upTo]) => ({
        name: 'archived-revocations',
        text: `SELECT position, value, ${isFinal} AS final FROM ${s}.archived_revocations
          WHERE position > $1 AND position <= $2 AND by_what = 'serial'`,
        values: [above, upTo],
        read(found, answers) {
          const archived = found.map((row) => ({
            position: Number(row.position),
            serialHex: String(row.value),
            isFinal: Boolean(row.final),
          }));
          answers.set(keyOf('archivedRevocations', [above, upTo] as never), archived);
        },
      })),
  };
}

const ofPositions = [...checksOfPositions, ...checksOfOpen, ...checksOfArchive];
const allChecks: readonly TableCheck[] = [...checksOfWhole, ...ofPositions];

/** Nothing of ours is done by the database itself. Its name among statements is the one that no other check has. */
function triggersIn(s: string): TableCheck {
  return {
    text: () => `SELECT CAST(trigger_name AS TEXT) AS place,
        CAST(event_object_table AS TEXT) AS said, NULL AS found
      FROM information_schema.triggers WHERE event_object_schema = '${s}'`,
    finding: ({ place, said }) => `trigger "${place}" of the table "${said}": slipped in`,
  };
}
