import type { Row } from '../ledger-rows.ts';
import type { Answers } from '../postgres/question.ts';
import type { Statement } from '../postgres/statement.ts';
import type { EdgeQuery, EdgeRecord } from './edge-records.ts';
import { type EdgeStore, forgottenAtOnce } from './edge-store.ts';
import { edgeRecordOf } from './sqlite-edge.ts';

/** What the rules may ask of the records of edges in PostgreSQL. */
export interface EdgeQuestions {
  edgeRecord: { with: [kind: string, id: string]; answer: EdgeRecord | undefined };
  edgeRecords: { with: [query: EdgeQuery]; answer: readonly EdgeRecord[] };
}

type Name = keyof EdgeQuestions;

/** The edges' part of what a run wants written. */
export interface EdgeDelta {
  /** By kind and id; undefined: it is taken away. */
  readonly records: Map<string, EdgeRecord | { readonly removed: readonly [string, string] }>;
  forgetAt: number | undefined;
}

/** The records over answers that were loaded before. */
export function loadedEdge(
  ask: <N extends Name>(
    name: N,
    asked: EdgeQuestions[N]['with'],
    otherwise: EdgeQuestions[N]['answer'],
  ) => EdgeQuestions[N]['answer'],
  delta: EdgeDelta,
  wrote: () => void,
): EdgeStore {
  const keyOf = (kind: string, id: string) => `${kind} ${id}`;
  return {
    record(kind, id) {
      const changed = delta.records.get(keyOf(kind, id));
      if (changed === undefined) return ask('edgeRecord', [kind, id], undefined);
      return 'removed' in changed ? undefined : changed;
    },
    // Only reads ask for lists, and those see what is committed.
    records: (query) => ask('edgeRecords', [query], []),
    put(record) {
      wrote();
      delta.records.set(keyOf(record.kind, record.id), record);
    },
    remove(kind, id) {
      wrote();
      delta.records.set(keyOf(kind, id), { removed: [kind, id] });
    },
    forget(at) {
      wrote();
      delta.forgetAt = at;
    },
  };
}

interface EdgeLoad extends Statement {
  read(found: readonly Row[], answers: Answers): void;
}

type LoadsOf<N extends Name> = (
  asked: readonly EdgeQuestions[N]['with'][],
  schema: string,
) => EdgeLoad[];

/** The statements that answer questions about records of edges. */
export function edgeLoads(keyOf: (name: Name, asked: never) => string): {
  readonly [N in Name]: LoadsOf<N>;
} {
  return {
    edgeRecord: (asked, s) => [
      {
        name: 'edge-record',
        text: `SELECT r.* FROM ${s}.edge_records AS r
          JOIN unnest($1::text[], $2::text[]) AS v (kind, id) ON v.kind = r.kind AND v.id = r.id`,
        values: [asked.map(([kind]) => kind), asked.map(([, id]) => id)],
        read(found, answers) {
          const records = found.map(edgeRecordOf);
          for (const [kind, id] of asked) {
            const record = records.find((each) => each.kind === kind && each.id === id);
            answers.set(keyOf('edgeRecord', [kind, id] as never), record);
          }
        },
      },
    ],

    edgeRecords: (asked, s) =>
      asked.map(([query]) => ({
        name: 'edge-records',
        // Ids are compared octet by octet, as everywhere else.
        text: `SELECT * FROM ${s}.edge_records WHERE kind = $1 AND owner = $2
          AND id COLLATE "C" > $3 ORDER BY id COLLATE "C" LIMIT $4`,
        values: [query.kind, query.owner, query.after, query.limit],
        read: (found, answers) =>
          void answers.set(keyOf('edgeRecords', [query] as never), found.map(edgeRecordOf)),
      })),
  };
}

export function edgeWritesFor({ records, forgetAt }: EdgeDelta, s: string): Statement[] {
  const put: EdgeRecord[] = [];
  const removed: (readonly [string, string])[] = [];
  for (const each of records.values()) {
    if ('removed' in each) removed.push(each.removed);
    else put.push(each);
  }
  return [
    ...(forgetAt === undefined ? [] : [forgetEnded(forgetAt, s)]),
    ...(put.length === 0 ? [] : [putRecords(put, s)]),
    ...(removed.length === 0 ? [] : [removeRecords(removed, s)]),
  ];
}

function putRecords(put: readonly EdgeRecord[], s: string): Statement {
  return {
    name: 'put-edge-records',
    text: `INSERT INTO ${s}.edge_records SELECT * FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[])
      ON CONFLICT (kind, id) DO UPDATE SET owner = excluded.owner, version = excluded.version,
        expires_at = excluded.expires_at, body = excluded.body`,
    values: [
      put.map(({ kind }) => kind),
      put.map(({ id }) => id),
      put.map(({ owner }) => owner),
      put.map(({ version }) => version),
      put.map(({ expiresAt }) => expiresAt),
      put.map(({ body }) => body),
    ],
  };
}

function removeRecords(removed: readonly (readonly [string, string])[], s: string): Statement {
  return {
    name: 'remove-edge-records',
    text: `DELETE FROM ${s}.edge_records WHERE (kind, id) IN
      (SELECT * FROM unnest($1::text[], $2::text[]))`,
    values: [removed.map(([kind]) => kind), removed.map(([, id]) => id)],
  };
}

function forgetEnded(at: number, s: string): Statement {
  return {
    name: 'forget-edge-records',
    text: `DELETE FROM ${s}.edge_records WHERE (kind, id) IN
      (SELECT kind, id FROM ${s}.edge_records WHERE expires_at <= $1 LIMIT ${forgottenAtOnce})`,
    values: [at],
  };
}
