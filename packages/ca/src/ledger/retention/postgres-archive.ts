import type { TokenRecord } from '../ledger.ts';
import * as rows from '../ledger-rows.ts';
import type { Answers } from '../postgres/question.ts';
import type { Statement } from '../postgres/statement.ts';
import type { ArchiveStore } from './archive-store.ts';
import type { ArchiveMoves, EndedIntent, RetentionState } from './retention-records.ts';
import { retentionAtFirst } from './retention-records.ts';
import { retentionOf } from './retention-rows.ts';

/** What the rules may ask of the archive in PostgreSQL. */
export interface ArchiveQuestions {
  retention: { with: []; answer: RetentionState };
  intentsAfter: { with: [after: number, limit: number]; answer: readonly EndedIntent[] };
  tokensAfter: { with: [after: number, limit: number]; answer: readonly TokenRecord[] };
  archived: { with: [intent: number]; answer: ReturnType<ArchiveStore['archived']> };
  archivedRevocation: { with: [position: number]; answer: boolean };
}

type Name = keyof ArchiveQuestions;

/** The archive's part of what a run wants written. */
export interface ArchiveDelta {
  moves: ArchiveMoves[];
  state: RetentionState | undefined;
}

/** The archive over answers that were loaded before. */
export function loadedArchive(
  ask: <N extends Name>(
    name: N,
    asked: ArchiveQuestions[N]['with'],
    otherwise: ArchiveQuestions[N]['answer'],
  ) => ArchiveQuestions[N]['answer'],
  delta: ArchiveDelta,
  wrote: () => void,
): ArchiveStore {
  return {
    state: () => delta.state ?? ask('retention', [], retentionAtFirst),
    keepState(state) {
      wrote();
      delta.state = state;
    },
    intentsAfter: (after, limit) => ask('intentsAfter', [after, limit], []),
    tokensAfter: (after, limit) => ask('tokensAfter', [after, limit], []),
    move(moves) {
      const { intents, tokens, revocations } = moves;
      if (intents.length + tokens.length + revocations.length === 0) return;
      wrote();
      delta.moves.push(moves);
    },
    archived: (intent) => ask('archived', [intent], undefined),
    isArchivedRevocation: (position) => ask('archivedRevocation', [position], false),
  };
}

type Found = readonly rows.Row[];
type Tell = <N extends Name>(
  name: N,
  asked: ArchiveQuestions[N]['with'],
  answer: ArchiveQuestions[N]['answer'],
) => void;

interface ArchiveLoad extends Statement {
  read(found: Found, answers: Answers): void;
}

type LoadsOf<N extends Name> = (
  asked: readonly ArchiveQuestions[N]['with'][],
  schema: string,
) => ArchiveLoad[];

/** The statements that answer questions about the archive. */
export function archiveLoads(keyOf: (name: Name, asked: never) => string): {
  readonly [N in Name]: LoadsOf<N>;
} {
  const teller =
    (answers: Answers): Tell =>
    (name, asked, answer) =>
      void answers.set(keyOf(name, asked as never), answer);
  return {
    retention: (_asked, s) => [
      {
        name: 'retention',
        text: `SELECT * FROM ${s}.retention WHERE id = 1`,
        values: [],
        read: ([row], answers) => teller(answers)('retention', [], retentionOf(row ?? {})),
      },
    ],

    intentsAfter: (asked, s) =>
      asked.map(([after, limit]) => ({
        name: 'intents-after',
        text: `SELECT i.*, CASE WHEN c.intent IS NOT NULL THEN 'issued'
                                WHEN a.intent IS NOT NULL THEN 'abandoned' END AS outcome
          FROM ${s}.intents AS i
          LEFT JOIN ${s}.certificates AS c ON c.intent = i.position
          LEFT JOIN ${s}.abandoned AS a ON a.intent = i.position
          WHERE i.position > $1 ORDER BY i.position LIMIT $2`,
        values: [after, limit],
        read(found, answers) {
          const ended = found.map((row) => ({
            record: rows.intentOf(row),
            outcome: rows.outcomeOf(row),
          }));
          teller(answers)('intentsAfter', [after, limit], ended);
        },
      })),

    tokensAfter: (asked, s) =>
      asked.map(([after, limit]) => ({
        name: 'tokens-after',
        text: `SELECT * FROM ${s}.tokens WHERE position > $1 ORDER BY position LIMIT $2`,
        values: [after, limit],
        read: (found, answers) =>
          teller(answers)('tokensAfter', [after, limit], found.map(rows.tokenOf)),
      })),

    archived: (asked, s) => [
      {
        name: 'archived',
        text: `SELECT a.position AS intent, r.* FROM ${s}.archived_intents AS a
          LEFT JOIN (SELECT * FROM ${s}.revocations UNION ALL SELECT * FROM ${s}.archived_revocations)
            AS r ON r.position = a.revocation
          WHERE a.position = ANY($1::bigint[])`,
        values: [asked.map(([intent]) => intent)],
        read(found, answers) {
          for (const [intent] of asked) {
            const row = found.find((each) => Number(each.intent) === intent);
            const revocation =
              row === undefined || row.position === null ? undefined : rows.revocationOf(row);
            teller(answers)('archived', [intent], row && { revocation });
          }
        },
      },
    ],

    archivedRevocation: (asked, s) => [
      {
        name: 'archived-revocation',
        text: `SELECT position FROM ${s}.archived_revocations WHERE position = ANY($1::bigint[])`,
        values: [asked.map(([position]) => position)],
        read(found, answers) {
          const known = new Set(found.map((row) => Number(row.position)));
          for (const [position] of asked) {
            teller(answers)('archivedRevocation', [position], known.has(position));
          }
        },
      },
    ],
  };
}

/** The statements that move rows to the archive, behind everything else that a run writes. */
export function archiveWrites({ moves, state }: ArchiveDelta, s: string): Statement[] {
  const intents = moves.flatMap((each) => each.intents);
  const tokens = moves.flatMap((each) => each.tokens);
  const revocations = moves.flatMap((each) => each.revocations);
  return [
    ...(intents.length === 0 ? [] : moveIntents(intents, s)),
    ...moveRows('tokens', 'position', tokens, s),
    ...moveRows(
      'revocations',
      'position',
      revocations.map(({ position }) => position),
      s,
    ),
    ...(revocations.length === 0 ? [] : [noteCover(revocations, s)]),
    ...(state === undefined ? [] : [keepState(state, s)]),
  ];
}

function moveIntents(intents: ArchiveMoves['intents'], s: string): Statement[] {
  const positions = intents.map(({ position }) => position);
  return [
    {
      name: 'archive-intents',
      text: `INSERT INTO ${s}.archived_intents (${rows.intentColumns}, revocation)
        SELECT ${rows.intentColumns}, v.revocation FROM ${s}.intents AS i
        JOIN unnest($1::bigint[], $2::bigint[]) AS v (intent, revocation) ON v.intent = i.position`,
      values: [positions, intents.map(({ revocation }) => revocation ?? null)],
    },
    ...moveRows('certificates', 'intent', positions, s),
    ...moveRows('abandoned', 'intent', positions, s),
    {
      name: 'unlist-intents',
      text: `DELETE FROM ${s}.intents WHERE position = ANY($1::bigint[])`,
      values: [positions],
    },
  ];
}

function moveRows(table: string, key: string, found: readonly number[], s: string): Statement[] {
  if (found.length === 0) return [];
  const which = `FROM ${s}.${table} WHERE ${key} = ANY($1::bigint[])`;
  return [
    {
      name: `archive-${table}`,
      text: `INSERT INTO ${s}.archived_${table} SELECT * ${which}`,
      values: [found],
    },
    { name: `unlist-${table}`, text: `DELETE ${which}`, values: [found] },
  ];
}

function noteCover(revocations: ArchiveMoves['revocations'], s: string): Statement {
  return {
    name: 'note-cover',
    text: `UPDATE ${s}.archived_intents AS a SET revocation = v.revocation
      FROM unnest($1::bigint[], $2::bigint[]) AS v (intent, revocation) WHERE a.position = v.intent`,
    values: [
      revocations.map(({ intent }) => intent),
      revocations.map(({ covering }) => covering ?? null),
    ],
  };
}

function keepState(state: RetentionState, s: string): Statement {
  return {
    name: 'keep-retention',
    text: `UPDATE ${s}.retention SET phase = $1, after = $2, holder = $3, held_until = $4,
      certificates = $5, tokens = $6, revocations = $7, round = $8, ended_before = $9,
      finished_at = $10 WHERE id = 1`,
    values: [
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
    ],
  };
}
