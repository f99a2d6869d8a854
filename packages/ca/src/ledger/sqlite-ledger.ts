import type { Worker } from 'node:worker_threads';
import { type Clock, CountersignError, type Log, type Meter, noMeter } from '@countersign/base';
import type { Ledger } from './ledger.ts';
import {
  type ArgumentsOf,
  type LedgerEngine,
  LedgerFront,
  type OperationName,
  type ResultOf,
} from './ledger-front.ts';
import { readResults, writeOperations } from './sqlite-messages.ts';
import type { WorkerBatch, WorkerError, WorkerReply, WorkerResult } from './sqlite-protocol.ts';
import { ledgerThread } from './sqlite-thread.ts';

/*
 * Durability contract.
 *
 * - One SQLite file, write-ahead log, synchronous = FULL: a commit returns when the log is synced to disk. A promise of
 *   this ledger resolves after that commit and never before, so whatever was acknowledged survives kill -9 and a power cut
 *   (as far as the disk keeps what it said it synced).
 * - Not acknowledged does not mean not done: a crash between the sync and the answer leaves the record.
 * - Group commit: what is asked for while a commit is under way, and as long as each turn of the event loop brings more
 *   (see `longestGatherMs`), is committed together by the next one, in the order asked, in one transaction under one lock
 *   of the head row. Each operation stands in a savepoint: one that is refused or throws takes nothing else with it.
 * - A batch is there whole after a crash or not at all; positions have no gap, since the head row is part of the batch.
 * - One writer: the operating system's lock is held from opening to closing and ends with the process.
 * - Fail closed: once a commit failed, the worker died or the file was moved away, everything pending rejects with
 *   ERR_LEDGER_FAILED, and so does everything later. Pending operations may or may not be in the file; a restart tells.
 */

export interface SqliteLedgerOptions {
  /** Path of the file. `-wal` and `.pid` files stand beside it. */
  readonly file: string;
  /**
   * Whether a file that is missing or empty is made a new ledger (mode 0600): for a new authority alone, since a lost
   * ledger that is replaced has forgotten every revocation. Default false.
   */
  readonly create?: boolean | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter?: Meter;
  /** Another worker's code, for tests of its death. */
  readonly worker?: URL;
}

/**
 * Opens the ledger for this process alone.
 *
 * @throws CountersignError ERR_LEDGER_LOCKED (another process has it), ERR_LEDGER_VERSION (not ours, or newer),
 *   ERR_STATE_BROKEN (missing, empty or damaged), ERR_LEDGER_FAILED (cannot be opened)
 */
export async function openSqliteLedger(options: SqliteLedgerOptions): Promise<Ledger> {
  let engine: SqliteEngine | undefined;
  const front = new LedgerFront((committed) => {
    engine = new SqliteEngine(options, committed);
    return engine;
  }, options);
  await engine?.ready;
  return front;
}

/** Operations in one transaction at most: bounds how long the first of them waits for the last. */
const largestBatch = 512;
/**
 * How long the first of a batch waits for others at most. Waking the worker and syncing the disk cost more than a record
 * does, so a busy authority commits less often; one that is asked alone waits for a turn of the event loop.
 */
const longestGatherMs = 2;

interface Waiting {
  readonly name: string;
  readonly args: readonly unknown[];
  readonly at: number;
  resolve(value: unknown): void;
  reject(thrown: unknown): void;
}

class SqliteEngine implements LedgerEngine {
  readonly ready: Promise<void>;
  readonly #options: SqliteLedgerOptions;
  readonly #committed: (head: number) => void;
  readonly #worker: Worker;
  readonly #opened = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  #ended = false;
  readonly #commitSeconds;
  readonly #commitRows;
  #waiting: Waiting[] = [];
  #underWay: readonly Waiting[] | undefined = [];
  #sentAt = 0;
  /** How many were waiting a turn ago; undefined while nothing is gathered. */
  #gathered: number | undefined;
  #gatheringSince = 0;
  #closing = false;
  #failure: CountersignError | undefined;

  constructor(options: SqliteLedgerOptions, committed: (head: number) => void) {
    const meter = options.meter ?? noMeter;
    this.#options = options;
    this.#committed = committed;
    this.ready = this.#opened.promise;
    this.#commitSeconds = meter.histogram({
      name: 'countersign_ledger_commit_seconds',
      help: 'Time from sending a batch to the ledger to its being on disk',
      buckets: [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1],
    });
    this.#commitRows = meter.counter({
      name: 'countersign_ledger_operations_total',
      help: 'Operations that the ledger answered',
    });
    const { file, create = false } = options;
    this.#worker = ledgerThread({ file, create }, options.worker);
    this.#worker.on('message', (reply: WorkerReply) => this.#onReply(reply));
    this.#worker.on('error', (thrown) => this.#fail(failed('the worker thread died', thrown)));
    this.#worker.on('exit', () => this.#onExit());
  }

  get failure(): CountersignError | undefined {
    return this.#failure;
  }

  run<N extends OperationName>(name: N, args: ArgumentsOf<N>): Promise<ResultOf<N>> {
    if (this.#closing) {
      return Promise.reject(new CountersignError('ERR_LEDGER_CLOSED', 'the ledger is closed'));
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const at = Math.trunc(this.#options.clock.now());
    return new Promise<ResultOf<N>>((resolve, reject) => {
      this.#waiting.push({
        name,
        args,
        at,
        resolve: (value) => resolve(value as ResultOf<N>),
        reject,
      });
      this.#schedule();
    });
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (this.#failure !== undefined) {
      await this.#worker.terminate();
      return;
    }
    this.#worker.ref();
    this.#schedule();
    await this.#closed.promise;
  }

  #schedule(): void {
    if (this.#underWay !== undefined || this.#gathered !== undefined) return;
    this.#gathered = this.#waiting.length;
    this.#gatheringSince = this.#options.clock.monotonic();
    setImmediate(() => this.#gather());
  }

  /** Once a turn of the event loop: as long as it brought more, the next may too. */
  #gather(): void {
    const { length } = this.#waiting;
    const isQuiet = length === this.#gathered || length >= largestBatch || this.#closing;
    if (isQuiet || this.#options.clock.monotonic() - this.#gatheringSince > longestGatherMs) {
      this.#gathered = undefined;
      this.#send();
      return;
    }
    this.#gathered = length;
    setImmediate(() => this.#gather());
  }

  #send(): void {
    if (this.#underWay !== undefined || this.#failure !== undefined || this.#ended) return;
    const batch = this.#waiting.splice(0, largestBatch);
    const close = this.#closing && this.#waiting.length === 0;
    if (batch.length === 0 && !close) return;
    this.#underWay = batch;
    this.#sentAt = this.#options.clock.monotonic();
    this.#worker.ref();
    const message: WorkerBatch = { words: writeOperations(batch), close };
    this.#worker.postMessage(message);
  }

  #onReply(reply: WorkerReply): void {
    if (reply.kind === 'failed') {
      this.#fail(errorOf(reply.error));
      return;
    }
    if (reply.kind === 'closed') {
      this.#ended = true;
      this.#closed.resolve();
      return;
    }
    const done = this.#underWay ?? [];
    this.#underWay = undefined;
    if (reply.kind === 'ready') {
      this.#opened.resolve();
    } else {
      this.#commitSeconds.observe((this.#options.clock.monotonic() - this.#sentAt) / 1000);
      this.#commitRows.add(done.length);
      if (reply.revocationHead !== undefined) this.#committed(reply.revocationHead);
      const results = readResults(reply.words);
      for (const [index, waiting] of done.entries()) settle(waiting, results[index]);
    }
    // What this one's callers ask for next is gathered, too.
    if (this.#waiting.length > 0 || this.#closing) this.#schedule();
    else this.#worker.unref();
  }

  #onExit(): void {
    if (this.#ended) return;
    this.#fail(failed('the worker thread ended'));
  }

  #fail(failure: CountersignError): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    const pending = [...(this.#underWay ?? []), ...this.#waiting];
    this.#underWay = undefined;
    this.#waiting = [];
    const { code, message } = failure;
    this.#options.log.error({ code, error: message, pending: pending.length }, 'ledger failed');
    this.#opened.reject(failure);
    this.#closed.resolve();
    for (const waiting of pending) waiting.reject(failure);
  }
}

function settle(waiting: Waiting, answered: WorkerResult | undefined): void {
  if (answered === undefined) waiting.reject(failed('the worker thread left an answer out'));
  else if (answered.ok) waiting.resolve(answered.value);
  else waiting.reject(errorOf(answered.error));
}

function errorOf(error: WorkerError): CountersignError {
  return new CountersignError(error.code, error.message, { fields: error.fields });
}

function failed(what: string, cause?: unknown): CountersignError {
  return new CountersignError('ERR_LEDGER_FAILED', what, { cause });
}
