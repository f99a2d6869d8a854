import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { CountersignError, MemoryToSpare, messageOf, systemClock } from '@countersign/base';
import { HalfWritten } from './half-written.ts';
import { ledgerReads, ledgerWrites } from './ledger-rules.ts';
import { randomOctets } from './random-octets.ts';
import { readOperations, writeResults } from './sqlite-messages.ts';
import type {
  WorkerBatch,
  WorkerError,
  WorkerOperation,
  WorkerReply,
  WorkerResult,
  WorkerStart,
} from './sqlite-protocol.ts';
import { openLedgerDatabase } from './sqlite-schema.ts';
import { SqliteStore } from './sqlite-store.ts';

/** So long after the last batch the log beside the file has its turn; then, as long after that, memory goes back. */
const quietMs = 500;
/** Before the process gives back what C has freed: see hold-memory.ts. */
const aheadMs = 150;

/** The worker thread of a SqliteLedger: one batch, one transaction, one sync to disk, then the answers. */
if (parentPort !== null) begin(parentPort, workerData as WorkerStart | undefined);

type Operation = (tx: object, ...args: readonly unknown[]) => unknown;

/** One that was begun ahead is told its file by the first message. */
function begin(port: MessagePort, start: WorkerStart | undefined): void {
  if (start === undefined) port.once('message', (told: WorkerStart) => serve(port, told));
  else serve(port, start);
}

function serve(port: MessagePort, start: WorkerStart): void {
  const { file } = start;
  const reply = (message: WorkerReply): void => port.postMessage(message);
  const fail = (thrown: unknown): void => {
    const error = errorOf(thrown, 'ERR_LEDGER_FAILED');
    // SQLite's own words, such as "database or disk is full", do not say where.
    const isOurs = thrown instanceof CountersignError;
    const message = isOurs ? error.message : `ledger "${file}": ${error.message}`;
    reply({ kind: 'failed', error: { ...error, message } });
    port.close();
  };

  let open: OpenLedger;
  try {
    open = openLedger(start);
  } catch (thrown) {
    fail(thrown);
    return;
  }
  reply({ kind: 'ready' });

  const spare = new MemoryToSpare(systemClock);
  let batches = 0;
  const quiet = setTimeout(function rest() {
    moveLog(open.database);
    const before = batches;
    const isStill = () => before === batches;
    setTimeout(() => isStill() && spare.give(), quietMs - aheadMs).unref();
  }, quietMs).unref();
  port.on('message', function onBatch(batch: WorkerBatch) {
    quiet.refresh();
    batches += 1;
    try {
      const before = open.store.revocationHead();
      const operations = readOperations(batch.words);
      const results = runBatch(open, operations);
      const head = open.store.revocationHead();
      reply({
        kind: 'committed',
        words: writeResults(results, operations),
        revocationHead: head === before ? undefined : head,
      });
      if (!batch.close) return;
      clearTimeout(quiet);
      open.database.close();
      rmSync(pidFileOf(file), { force: true });
      reply({ kind: 'closed' });
      port.close();
    } catch (thrown) {
      // Nothing of this batch was acknowledged; the file goes back to whoever opens it next, with SQLite's recovery.
      fail(thrown);
    }
  });
}

/** Moves what the log holds into the file, and leaves it empty: SQLite would keep it at its largest. */
function moveLog(database: DatabaseSync): void {
  try {
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  } catch {
    // Nothing is lost where it stays: a full disk is for the next commit to find.
  }
}

interface OpenLedger {
  readonly file: string;
  readonly inode: bigint;
  readonly database: DatabaseSync;
  readonly store: SqliteStore;
}

function openLedger({ file, create }: WorkerStart): OpenLedger {
  try {
    const database = openLedgerDatabase(file, { create });
    writeFileSync(pidFileOf(file), `${process.pid}\n`, { mode: 0o600 });
    const inode = statSync(file, { bigint: true }).ino;
    return { file, inode, database, store: new SqliteStore(database) };
  } catch (thrown) {
    if (!(thrown instanceof CountersignError) || thrown.code !== 'ERR_LEDGER_LOCKED') throw thrown;
    const pid = holderOf(file);
    const by = pid === undefined ? '' : ` (pid ${pid})`;
    throw new CountersignError(thrown.code, `${thrown.message}${by}`, {
      fields: { ...thrown.fields, file, pid },
    });
  }
}

/** Writes in order in one transaction, then the reads: what they see is committed. */
function runBatch(open: OpenLedger, operations: readonly WorkerOperation[]): WorkerResult[] {
  const { store } = open;
  const results: WorkerResult[] = [];
  const isWrite = operations.map(({ name }) => Object.hasOwn(ledgerWrites, name));

  if (isWrite.includes(true)) {
    // A file that was moved or removed under us would take acknowledged records with it.
    if (statSync(open.file, { bigint: true, throwIfNoEntry: false })?.ino !== open.inode) {
      throw new CountersignError(
        'ERR_LEDGER_FAILED',
        `ledger "${open.file}" was moved or removed while it was open`,
      );
    }
    const writes = [...operations.keys()].filter((index) => isWrite[index]);
    runWrites(store, operations, writes, results);
  }

  for (const [index, { name, args, at }] of operations.entries()) {
    if (isWrite[index]) continue;
    const read = ledgerReads[name as keyof typeof ledgerReads] as Operation;
    results[index] = answer(() => read({ store, at, random: randomOctets }, ...args));
  }
  return results;
}

/** Those that check everything first and write last, so that one which is refused has nothing to undo. */
const writeLast: ReadonlySet<string> = new Set<keyof typeof ledgerWrites>([
  'intend',
  'issued',
  'abandoned',
  'revoke',
  'createToken',
]);

function runWrites(
  store: SqliteStore,
  operations: readonly WorkerOperation[],
  writes: readonly number[],
  results: WorkerResult[],
  isEachIsolated = false,
): void {
  store.begin();
  try {
    for (const index of writes) {
      const { name, args, at } = operations[index] as WorkerOperation;
      const write = ledgerWrites[name as keyof typeof ledgerWrites] as Operation;
      const run = () => write({ store, at, random: randomOctets }, ...args);
      const isIsolated = isEachIsolated || !writeLast.has(name);
      results[index] = answer(() => (isIsolated ? store.isolate(run) : store.attempt(run)));
    }
  } catch (thrown) {
    if (!(thrown instanceof HalfWritten)) throw thrown;
    store.rollBack();
    runWrites(store, operations, writes, results, true);
    return;
  }
  store.commit();
}

const constraint = 19;

/** A refusal to answer one operation is its own; what SQLite cannot do (disk full, I/O error) ends the ledger. */
function answer(operation: () => unknown): WorkerResult {
  try {
    return { ok: true, value: operation() };
  } catch (thrown) {
    if (thrown instanceof HalfWritten) throw thrown;
    const sqlite = (thrown as { errcode?: number }).errcode;
    if (sqlite !== undefined && (sqlite & 0xff) !== constraint) throw thrown;
    return { ok: false, error: errorOf(thrown, 'ERR_LEDGER_STATE') };
  }
}

function errorOf(thrown: unknown, otherwise: 'ERR_LEDGER_FAILED' | 'ERR_LEDGER_STATE') {
  const known = thrown instanceof CountersignError ? thrown : undefined;
  const error: WorkerError = {
    code: known?.code ?? otherwise,
    message: messageOf(thrown),
    fields: known?.fields ?? {},
  };
  return error;
}

function pidFileOf(file: string): string {
  return `${file}.pid`;
}

function holderOf(file: string): number | undefined {
  try {
    const pid = Number(readFileSync(pidFileOf(file), 'utf8').trim());
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}
