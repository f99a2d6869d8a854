import { CountersignError, messageOf } from '@countersign/base';
import type { Client } from 'pg';
import type { OperationName } from '../ledger-front.ts';
import type { DatabaseConnection } from './connection.ts';
import { troubleOf } from './database-error.ts';
import type { FreshRevocations } from './fresh-revocations.ts';
import type { Answers, StoredIntent } from './question.ts';
import { emptyHead, foresee, type Outcome, runOperations } from './run-operations.ts';
import { load, together } from './transaction.ts';
import type { Waiting } from './waiting.ts';

export interface BatchReaderOptions {
  readonly connection: DatabaseConnection;
  readonly schema: string;
  readonly known: ReadonlyMap<number, StoredIntent>;
  readonly fresh: FreshRevocations;
  readonly onAway: (thrown: unknown) => void;
  readonly onAnswers: (answers: Answers) => void;
}

const largestBatch = 512;
const mostRounds = 8;
/** Reads of those who follow revocations. */
const followed: ReadonlySet<string> = new Set<OperationName>(['revokedAfter', 'revocationsAfter']);

/**
 * Reads, by the same rules: what is asked for in one turn is loaded together. They see what is committed; where an answer
 * leads to another question, that one is answered from a state at least as new.
 */
export class BatchReader {
  readonly #options: BatchReaderOptions;
  #waiting: Waiting[] = [];
  readonly #underWay = new Set<Promise<void>>();
  #scheduled = false;
  #stopped = false;

  constructor(options: BatchReaderOptions) {
    this.#options = options;
  }

  add(waiting: Waiting): void {
    if (followed.has(waiting.name) && this.#answerFresh(waiting)) return;
    this.#waiting.push(waiting);
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      while (this.#waiting.length > 0) this.#begin(this.#waiting.splice(0, largestBatch));
    });
  }

  /** Resolves once everything that was added has an answer. */
  async answered(): Promise<void> {
    await Promise.allSettled([...this.#underWay]);
  }

  /** Ends the tries. Resolves once nothing is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.answered();
  }

  reject(thrown: unknown): void {
    this.#stopped = true;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(thrown);
  }

  /** Answers whoever follows revocations out of what this process has just committed. */
  #answerFresh(waiting: Waiting): boolean {
    const { fresh, known } = this.#options;
    const answers: Answers = new Map();
    for (let round = 0; round < mostRounds; round += 1) {
      const { store, outcomes } = runOperations([waiting], emptyHead, answers);
      if (store.missing.size === 0) {
        waiting.settle(outcomes[0]);
        return true;
      }
      for (const [key, { name, with: asked }] of store.missing) {
        // Of an intent nothing else is wanted here than what never changes.
        const found =
          name === 'revocationsAfter'
            ? fresh.after(...(asked as [number, number]))
            : name === 'intent'
              ? known.get(asked[0] as number)
              : undefined;
        if (found === undefined) return false;
        answers.set(key, found);
      }
    }
    return false;
  }

  #begin(batch: readonly Waiting[]): void {
    const reading = this.#readBatch(batch).finally(() => this.#underWay.delete(reading));
    this.#underWay.add(reading);
  }

  async #readBatch(batch: readonly Waiting[]): Promise<void> {
    const { connection, onAway } = this.#options;
    for (;;) {
      if (this.#stopped) return;
      let client: Client | undefined;
      let operations = batch;
      try {
        client = await connection.client();
        operations = batch.filter((waiting) => !waiting.isSettled);
        if (operations.length === 0) return;
        const outcomes = await this.#answer(client, operations);
        for (const [index, waiting] of operations.entries()) waiting.settle(outcomes[index]);
        return;
      } catch (thrown) {
        const trouble = client === undefined ? 'away' : troubleOf(thrown);
        if (client !== undefined && trouble !== 'contention') connection.drop(client);
        if (trouble === 'away') onAway(thrown);
        if (trouble !== 'broken') continue;
        // A read that fails leaves nothing half done: the next may fare better.
        const failed = new CountersignError('ERR_LEDGER_FAILED', `read: ${messageOf(thrown)}`, {
          cause: thrown,
        });
        for (const waiting of operations) waiting.reject(failed);
        return;
      }
    }
  }

  async #answer(client: Client, operations: readonly Waiting[]): Promise<readonly Outcome[]> {
    const { schema, known, onAnswers } = this.#options;
    const answers: Answers = new Map();
    await together(load(client, foresee(operations, known), schema, answers));
    for (let round = 1; ; round += 1) {
      const { store, outcomes } = runOperations(operations, emptyHead, answers);
      onAnswers(answers);
      if (store.missing.size === 0) return outcomes;
      if (round === mostRounds) throw new TypeError('the rules ask on and on');
      await together(load(client, store.missing.values(), schema, answers));
    }
  }
}
