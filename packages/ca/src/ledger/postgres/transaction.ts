import { CountersignError, messageOf } from '@countersign/base';
import type { Client, QueryResult } from 'pg';
import { type Head, headOf, type Row } from '../ledger-rows.ts';
import { wasRolledBack } from './database-error.ts';
import type { Delta } from './loaded-store.ts';
import { loadsFor } from './loads.ts';
import type { Answers, Question, StoredIntent } from './question.ts';
import {
  foresee,
  type Operation,
  type Outcome,
  type Run,
  runOperations,
} from './run-operations.ts';
import type { Statement } from './statement.ts';
import { headWrites, noteWriter, writesFor } from './writes.ts';

/** A batch on its way: what is asked, by which writer, as which of its batches. */
export interface Batch {
  readonly operations: readonly Operation[];
  readonly schema: string;
  readonly writer: string;
  readonly number: number;
  /** Intents that this process has read or written: what they say never changes. */
  readonly known: ReadonlyMap<number, StoredIntent>;
  /** Called when the head is asked for; what it answers is told the head, and throws where it cannot be what it is. */
  readonly expectHead: () => (head: Head & { readonly ledger: string }) => void;
  /** An earlier try whose COMMIT was not answered; it is looked up before anything is asked again. */
  readonly doubtful: Done | undefined;
}

/** What a committed batch answers and wrote. */
export interface Done {
  readonly outcomes: readonly Outcome[];
  readonly delta: Delta;
  /** What was read for it. */
  readonly answers: Answers;
}

export type Attempt =
  | ({ readonly kind: 'done' } & Done)
  /** COMMIT was sent and not answered. */
  | ({ readonly kind: 'doubtful'; readonly cause: unknown } & Done);

const mostRounds = 8;

/**
 * One batch in one transaction. Two journeys to the database where everything can be foreseen: lock and load, write and
 * commit.
 *
 * Positions: the head row is locked from before the first read to the end of the transaction, so batches of all
 * processes follow each other, each sees all before it, and no reader ever sees a gap.
 *
 * @throws what the database threw, where it is sure that nothing was committed
 */
export async function attemptBatch(client: Client, batch: Batch): Promise<Attempt> {
  const { operations, schema, doubtful } = batch;
  const answers: Answers = new Map();
  const onHead = batch.expectHead();

  // 1. The head, locked; behind it, on the same journey, what the rules are going to ask.
  const [locked, noted, ...loaded] = await together([
    client.query(
      `BEGIN ISOLATION LEVEL READ COMMITTED; SELECT * FROM ${schema}.head WHERE id = 1 FOR UPDATE`,
    ) as unknown as Promise<QueryResult[]>,
    // Read behind the lock: by then an earlier transaction of this writer has ended, one way or the other.
    client.query({
      name: 'last-batch',
      text: `SELECT batch FROM ${schema}.writers WHERE id = $1`,
      values: [batch.writer],
    }),
    ...load(client, foresee(operations, batch.known), schema, answers),
  ]);
  void loaded;
  const head = lockedHead(locked as QueryResult[]);
  onHead(head);

  // 2. An earlier try may have been committed after all.
  const last = Number((noted as QueryResult).rows[0]?.batch ?? 0);
  if (doubtful !== undefined && last === batch.number) {
    await client.query('ROLLBACK');
    return { ...doubtful, kind: 'done' };
  }

  // 3. The rules, until they have every answer that they want.
  let run = decide(operations, head, answers);
  for (let round = 1; run.store.missing.size > 0; round += 1) {
    if (round === mostRounds) throw defect('the rules ask on and on');
    await together(load(client, run.store.missing.values(), schema, answers));
    run = decide(operations, head, answers);
  }
  const { delta, writes } = run.store;
  const done: Done = { outcomes: run.outcomes, delta, answers };
  if (writes === 0) {
    await client.query('ROLLBACK');
    return { kind: 'done', ...done };
  }

  // 4. What they decided, and the commit.
  const writer = { id: batch.writer, batch: batch.number };
  const statements = [
    ...writesFor(delta, schema, batch.writer),
    ...(delta.head.audit === head.audit
      ? [noteWriter(schema, writer)]
      : headWrites(delta, schema, writer)),
  ];
  const written = statements.map((statement) => send(client, statement));
  const committed = client.query('COMMIT');
  const [commit] = await Promise.allSettled([committed, ...written]);
  if (commit.status === 'rejected') {
    if (wasRolledBack(commit.reason)) throw commit.reason;
    return { kind: 'doubtful', cause: commit.reason, ...done };
  }
  if (commit.value.command === 'COMMIT') return { kind: 'done', ...done };
  // It answers ROLLBACK where a statement before it failed: that one says why.
  await Promise.all(written);
  throw defect(`COMMIT was answered with "${commit.value.command}"`);
}

/** Sends the loads of these questions; their answers are there once all have resolved. */
export function load(
  client: Client,
  questions: Iterable<Question>,
  schema: string,
  answers: Answers,
): Promise<void>[] {
  return loadsFor(questions, schema).map(async (statement) => {
    const { rows } = await send(client, statement);
    statement.read(rows as Row[], answers);
  });
}

/** All of them, or the first error in the order sent: what fails behind it fails because of it. */
export async function together<T extends readonly unknown[]>(
  sent: readonly [...{ [K in keyof T]: Promise<T[K]> }],
): Promise<T> {
  const settled = await Promise.allSettled(sent as readonly Promise<unknown>[]);
  const failed = settled.find((each) => each.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return settled.map((each) => (each as PromiseFulfilledResult<unknown>).value) as unknown as T;
}

function send(client: Client, { name, text, values }: Statement): Promise<QueryResult> {
  return client.query({ name, text, values: [...values] });
}

function lockedHead([, found]: readonly QueryResult[]): Head & { readonly ledger: string } {
  const row: Row | undefined = found?.rows[0];
  if (row === undefined) throw defect('its head row is gone');
  return { ...headOf(row), ledger: String(row.ledger) };
}

function decide(operations: readonly Operation[], head: Head, answers: Answers): Run {
  try {
    return runOperations(operations, head, answers);
  } catch (thrown) {
    throw defect(messageOf(thrown), thrown);
  }
}

function defect(what: string, cause?: unknown): CountersignError {
  return new CountersignError('ERR_LEDGER_FAILED', `the ledger's database: ${what}`, { cause });
}
