import { randomInt } from 'node:crypto';
import type { Client } from 'pg';
import type { Intent } from '../ledger.ts';
import type { Head } from '../ledger-rows.ts';
import type { DatabaseConnection } from './connection.ts';
import { troubleOf } from './database-error.ts';
import type { StoredIntent } from './question.ts';
import { attemptBatch, type Done } from './transaction.ts';
import type { Waiting } from './waiting.ts';

export interface BatchWriterOptions {
  readonly connection: DatabaseConnection;
  readonly schema: string;
  /** This process, among those over the ledger. */
  readonly writer: string;
  readonly known: ReadonlyMap<number, StoredIntent>;
  readonly events: BatchWriterEvents;
}

export interface BatchWriterEvents {
  /** When the head is asked for; what it answers is told the head, and throws where it cannot be what it is. */
  expectHead(): (head: Head & { readonly ledger: string }) => void;
  onCommitted(done: Done, operations: number): void;
  /** The database cannot be reached: it is tried again. */
  onAway(thrown: unknown): void;
  /** It never will be written again. */
  onBroken(thrown: unknown): void;
  /** A caller was told that its certificate could not be ordered, and by now it is. */
  onForsaken(intent: Intent): void;
}

/** Operations in one transaction at most: bounds how long the first of them waits for the last. */
const largestBatch = 512;

/**
 * Group commit: what is asked for while a batch is under way waits, and goes together with the next. A batch is tried
 * until it is committed, until nobody waits for it any more, or until the ledger is broken; after a COMMIT without an
 * answer it is looked up first, however long that takes.
 */
export class BatchWriter {
  readonly #options: BatchWriterOptions;
  #waiting: Waiting[] = [];
  #underWay: readonly Waiting[] = [];
  #work: Promise<void> | undefined;
  #number = 0;
  #stopped = false;

  constructor(options: BatchWriterOptions) {
    this.#options = options;
  }

  add(waiting: Waiting): void {
    this.#waiting.push(waiting);
    this.#start();
  }

  /** Resolves once everything that was added has an answer. */
  async answered(): Promise<void> {
    await Promise.allSettled([...this.#waiting, ...this.#underWay].map((each) => each.promise));
  }

  /** Ends the tries. Resolves once nothing is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#work;
  }

  reject(thrown: unknown): void {
    this.#stopped = true;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(thrown);
  }

  /** What is asked for in one turn of the event loop goes together. */
  #start(): void {
    this.#work ??= Promise.resolve()
      .then(() => this.#writeAll())
      .finally(() => {
        this.#work = undefined;
        if (this.#waiting.length > 0) this.#start();
      });
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      this.#underWay = this.#waiting.splice(0, largestBatch);
      await this.#writeBatch(this.#underWay);
    }
    this.#underWay = [];
  }

  async #writeBatch(batch: readonly Waiting[]): Promise<void> {
    const { connection, events } = this.#options;
    this.#number += 1;
    let doubtful: Doubtful | undefined;
    for (let contended = 0; ; ) {
      if (this.#stopped) return;
      let client: Client | undefined;
      try {
        client = await connection.client();
        // Only now: whose time was over meanwhile was told so, and is not asked for again.
        const operations = batch.filter((waiting) => !waiting.isSettled);
        if (operations.length === 0 && doubtful === undefined) return;
        const attempt = await attemptBatch(client, {
          operations,
          number: this.#number,
          schema: this.#options.schema,
          writer: this.#options.writer,
          known: this.#options.known,
          expectHead: events.expectHead,
          doubtful,
        });
        const tried = attempt.outcomes === doubtful?.outcomes ? doubtful.operations : operations;
        if (attempt.kind === 'done') return this.#settle(tried, attempt);
        const { kind: _, cause, ...done } = attempt;
        doubtful = { ...done, operations: tried };
        connection.drop(client);
        events.onAway(cause);
      } catch (thrown) {
        if (client === undefined) {
          events.onAway(thrown);
          continue;
        }
        const trouble = troubleOf(thrown);
        if (trouble === 'contention') {
          contended += 1;
          await this.#giveWay(client, contended);
          continue;
        }
        connection.drop(client);
        if (trouble === 'away') events.onAway(thrown);
        else return this.#break(batch, thrown);
      }
    }
  }

  #settle(operations: readonly Waiting[], done: Done): void {
    const { events } = this.#options;
    events.onCommitted(done, operations.length);
    for (const [index, waiting] of operations.entries()) {
      const outcome = done.outcomes[index];
      const intent = outcome?.ok === true && waiting.name === 'intend' ? outcome.value : undefined;
      const forsaken = waiting.isSettled
        ? (intent as Intent | { ok: false } | undefined)
        : undefined;
      if (forsaken?.ok === true) events.onForsaken(forsaken);
      waiting.settle(outcome);
    }
  }

  #break(batch: readonly Waiting[], thrown: unknown): void {
    this.#options.events.onBroken(thrown);
    for (const waiting of batch) waiting.reject(thrown);
  }

  /** Others were in the way: a pause of a random length, longer with every try. */
  async #giveWay(client: Client, contended: number): Promise<void> {
    await client.query('ROLLBACK').catch(() => this.#options.connection.drop(client));
    const longest = Math.min(100, 2 ** contended);
    await new Promise((resolve) => setTimeout(resolve, randomInt(longest) + 1));
  }
}

interface Doubtful extends Done {
  /** Those whose outcomes they are. */
  readonly operations: readonly Waiting[];
}
