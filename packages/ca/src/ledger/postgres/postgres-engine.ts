import { randomUUID } from 'node:crypto';
import { type Clock, CountersignError, type Log, type Meter, messageOf } from '@countersign/base';
import type { Client } from 'pg';
import type { Intent } from '../ledger.ts';
import type { ArgumentsOf, LedgerEngine, OperationName, ResultOf } from '../ledger-front.ts';
import { ledgerWrites } from '../ledger-rules.ts';
import { BatchReader } from './batch-reader.ts';
import { BatchWriter } from './batch-writer.ts';
import type { ConnectionOptions } from './connection.ts';
import { DatabaseConnection } from './connection.ts';
import { describeTrouble, troubleOf } from './database-error.ts';
import { FreshRevocations } from './fresh-revocations.ts';
import type { Answers, StoredIntent } from './question.ts';
import { migrate } from './schema.ts';
import type { Done } from './transaction.ts';
import { Waiting } from './waiting.ts';
import { type SeenHead, Watch } from './watch.ts';
import { noteWriter } from './writes.ts';

export interface EngineOptions {
  readonly url: ConnectionOptions['url'];
  /** Where it leads, for messages: no password in it. */
  readonly place: string;
  readonly schema: string;
  readonly create: boolean;
  readonly timeoutMs: number;
  readonly pollMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

/** Intents whose facts are remembered. */
const mostKnown = 10_000;

/** Reads that may be long: they do not stand in the way of the short ones. */
const long: ReadonlySet<OperationName> = new Set<OperationName>([
  'findCertificates',
  'recordsAfter',
  'certificatesAfter',
  'revocationsAfter',
  'openIntents',
  'orphans',
  'previewRevocation',
]);

export class PostgresEngine implements LedgerEngine {
  readonly #options: EngineOptions;
  readonly #committed: (head: number) => void;
  readonly #connections: readonly DatabaseConnection[];
  readonly #watched: DatabaseConnection;
  readonly #writer: BatchWriter;
  readonly #reader: BatchReader;
  readonly #longReader: BatchReader;
  readonly #id = randomUUID();
  readonly #known = new Map<number, StoredIntent>();
  readonly #fresh = new FreshRevocations();
  readonly #metrics;
  #watch: Watch | undefined;
  #ledger = '';
  #position = 0;
  #told = 0;
  #closing = false;
  #broken: CountersignError | undefined;
  #away: CountersignError | undefined;

  constructor(options: EngineOptions, committed: (head: number) => void) {
    const { url, schema, timeoutMs, meter } = options;
    this.#options = options;
    this.#committed = committed;
    const connect = (purpose: string): DatabaseConnection =>
      new DatabaseConnection({ url, timeoutMs, application: `countersign ca: ${purpose}` });
    const connections = {
      writer: connect('writes'),
      reader: connect('reads'),
      longReader: connect('lists'),
      watch: connect('watch'),
    };
    this.#watched = connections.watch;
    this.#connections = Object.values(connections);
    const onAway = (thrown: unknown): void => this.#onAway(thrown);
    const base = { schema, known: this.#known, fresh: this.#fresh };
    const onAnswers = (answers: Answers): void => this.#remember(answers.values());
    this.#reader = new BatchReader({ ...base, connection: connections.reader, onAway, onAnswers });
    this.#longReader = new BatchReader({
      ...base,
      connection: connections.longReader,
      onAway,
      onAnswers,
    });
    this.#writer = new BatchWriter({
      ...base,
      connection: connections.writer,
      writer: this.#id,
      events: {
        expectHead: () => this.#expectHead(),
        onCommitted: (done, operations) => this.#onCommitted(done, operations),
        onAway,
        onBroken: (thrown) => this.#onBroken(thrown),
        onForsaken: (intent) => this.#abandon(intent, 'its caller was told that it failed'),
      },
    });
    this.#metrics = metricsOf(meter);
  }

  /**
   * Connects, migrates (or makes) the tables, and begins to watch.
   *
   * @throws CountersignError ERR_LEDGER_UNAVAILABLE, ERR_LEDGER_VERSION, ERR_LEDGER_URL, ERR_STATE_BROKEN
   */
  async open(): Promise<void> {
    const { schema, create, pollMs, timeoutMs } = this.#options;
    const connection = new DatabaseConnection({
      url: this.#options.url,
      timeoutMs: Math.max(timeoutMs, 30_000),
      application: 'countersign ca: opening',
    });
    try {
      const client = await this.#reach(connection);
      this.#ledger = await migrate(client, schema, create);
      const { text, values } = noteWriter(schema, { id: this.#id, batch: 0 });
      await client.query({ text, values: [...values] });
      const { rows } = await client.query(`SELECT * FROM ${schema}.head WHERE id = 1`);
      this.#position = rows[0].position;
      this.#told = rows[0].revocation;
    } catch (thrown) {
      if (thrown instanceof CountersignError) throw thrown;
      throw this.#unavailable(thrown);
    } finally {
      await connection.close();
    }
    this.#watch = new Watch({
      connection: this.#watched,
      schema,
      pollMs,
      writer: this.#id,
      expectHead: () => this.#expectHead(),
      onAway: (thrown) => this.#onAway(thrown),
      onTrouble: (thrown) => this.#onTrouble(thrown),
      onTurn: () => this.#closeOrphans(),
    });
    this.#metrics.available.set(1);
  }

  /** The id that it was given when its tables were made. */
  get ledger(): string {
    return this.#ledger;
  }

  get failure(): CountersignError | undefined {
    return this.#broken ?? this.#away;
  }

  run<N extends OperationName>(name: N, args: ArgumentsOf<N>): Promise<ResultOf<N>> {
    if (this.#closing) {
      return Promise.reject(new CountersignError('ERR_LEDGER_CLOSED', 'the ledger is closed'));
    }
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    const { clock, timeoutMs } = this.#options;
    const at = Math.trunc(clock.now());
    const late = (): CountersignError => this.#away ?? this.#unavailable('it did not answer');
    const waiting = new Waiting({ name, args, at }, { timeoutMs, late });
    if (Object.hasOwn(ledgerWrites, name)) this.#writer.add(waiting);
    else (long.has(name) ? this.#longReader : this.#reader).add(waiting);
    return waiting.promise as Promise<ResultOf<N>>;
  }

  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    // 1. What was asked for before still gets its answer, within its time.
    const workers = [this.#writer, this.#reader, this.#longReader];
    await Promise.all(workers.map((worker) => worker.answered()));
    await this.#watch?.stop();
    // 2. What this process left open is an orphan from now on, without the wait for its silence.
    if (this.failure === undefined) await this.#leave().catch(() => {});
    // 3. A batch whose fate is not known is left to its intents' orphanage.
    const stopped = workers.map((worker) => worker.stop());
    await Promise.all(this.#connections.map((connection) => connection.close()));
    await Promise.all(stopped);
  }

  async #leave(): Promise<void> {
    const { schema } = this.#options;
    const client = await this.#connections[0]?.client();
    await client?.query(`DELETE FROM ${schema}.writers WHERE id = $1`, [this.#id]);
  }

  /** Tries to connect as long as an operation would wait. */
  async #reach(connection: DatabaseConnection): Promise<Client> {
    const { clock, timeoutMs } = this.#options;
    const deadline = clock.monotonic() + timeoutMs;
    for (;;) {
      try {
        return await connection.client();
      } catch (thrown) {
        if (thrown instanceof CountersignError) throw thrown;
        const isRefused = /^(?:28|3D)/.test(String((thrown as { code?: unknown }).code));
        if (isRefused || clock.monotonic() >= deadline) throw this.#unavailable(thrown);
      }
    }
  }

  /**
   * A database that goes back has lost what was acknowledged: a fail-over to a copy that lagged behind, or an older
   * backup. Going on would give positions, and so serial numbers, a second time. What was seen before the head was asked
   * for must be there; other answers may overtake this one.
   */
  #expectHead(): (head: SeenHead) => void {
    const seen = this.#position;
    const { place } = this.#options;
    return ({ ledger, position, revocation }) => {
      if (ledger !== this.#ledger) {
        const sides = `is "${ledger}", it was "${this.#ledger}"`;
        throw new CountersignError('ERR_LEDGER_FAILED', `ledger in "${place}" ${sides}`);
      }
      if (position < seen) {
        const sides = `went back from position ${seen} to ${position}: acknowledged records are lost`;
        throw new CountersignError('ERR_LEDGER_FAILED', `ledger in "${place}" ${sides}`, {
          fields: { acknowledged: seen, found: position },
          hint: 'bring back the database that has them, or a later backup, then restart the authority',
        });
      }
      this.#isBack();
      this.#position = Math.max(this.#position, position);
      this.#tell(revocation);
    };
  }

  #onCommitted({ answers, delta }: Done, operations: number): void {
    this.#metrics.operations.add(operations);
    this.#position = Math.max(this.#position, delta.head.position);
    this.#remember(answers.values());
    this.#remember([...delta.intents.values()].map((record) => ({ record, outcome: undefined })));
    if (delta.archive.moves.length > 0) this.#fresh.clear();
    this.#fresh.add(delta.revocations);
    this.#tell(delta.head.revocation);
  }

  #tell(revocation: number): void {
    if (revocation <= this.#told) return;
    this.#told = revocation;
    this.#fresh.expect(revocation);
    this.#committed(revocation);
  }

  #remember(found: Iterable<unknown>): void {
    for (const each of found) {
      if (!isStoredIntent(each)) continue;
      this.#known.delete(each.record.position);
      this.#known.set(each.record.position, each);
    }
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= mostKnown) break;
      this.#known.delete(oldest);
    }
  }

  #onAway(thrown: unknown): void {
    if (this.#closing) return;
    this.#metrics.losses.add(1);
    const isNew = this.#away === undefined;
    this.#away = this.#unavailable(thrown);
    this.#metrics.available.set(0);
    if (!isNew) return;
    this.#options.log.error(
      { place: this.#options.place, error: this.#away.message },
      'database of the ledger is away',
    );
  }

  #onTrouble(thrown: unknown): void {
    if (troubleOf(thrown) === 'broken') this.#onBroken(thrown);
    else this.#onAway(thrown);
  }

  #isBack(): void {
    if (this.#away === undefined) return;
    this.#away = undefined;
    this.#metrics.available.set(1);
    this.#options.log.info({ place: this.#options.place }, 'database of the ledger is back');
  }

  #onBroken(thrown: unknown): void {
    if (this.#broken !== undefined) return;
    this.#broken =
      thrown instanceof CountersignError
        ? thrown
        : new CountersignError(
            'ERR_LEDGER_FAILED',
            `ledger in "${this.#options.place}": ${describeTrouble(thrown)}`,
            { cause: thrown },
          );
    const { code, message } = this.#broken;
    this.#options.log.error({ code, error: message }, 'ledger failed');
    this.#metrics.available.set(0);
    for (const each of [this.#writer, this.#reader, this.#longReader]) each.reject(this.#broken);
  }

  #unavailable(reason: unknown): CountersignError {
    const { place, timeoutMs } = this.#options;
    const why = typeof reason === 'string' ? reason : describeTrouble(reason);
    return new CountersignError(
      'ERR_LEDGER_UNAVAILABLE',
      `reach the ledger's database "${place}": ${why}; waited ${timeoutMs} ms`,
      { fields: { place, timeoutMs }, cause: reason },
    );
  }

  async #closeOrphans(): Promise<void> {
    if (this.#closing) return;
    try {
      const orphans = await this.run('orphans', []);
      for (const orphan of orphans) this.#abandon(orphan, 'whoever ordered it is gone');
    } catch (thrown) {
      this.#options.log.debug({ error: messageOf(thrown) }, 'orphaned intents not looked for');
    }
  }

  #abandon(intent: Pick<Intent, 'position' | 'serialHex'>, reason: string): void {
    const { position, serialHex: serial } = intent;
    const { log } = this.#options;
    this.run('abandoned', [position, reason]).then(
      () => log.warn({ position, serial, reason }, 'orphaned intent closed'),
      (thrown) => {
        // Another process was faster; or it is found again at the next look.
        log.debug({ position, serial, error: messageOf(thrown) }, 'orphaned intent left');
      },
    );
  }
}

function isStoredIntent(value: unknown): value is StoredIntent {
  return typeof value === 'object' && value !== null && 'record' in value && 'outcome' in value;
}

function metricsOf(meter: Meter) {
  return {
    operations: meter.counter({
      name: 'countersign_ledger_operations_total',
      help: 'Operations that the ledger answered',
    }),
    losses: meter.counter({
      name: 'countersign_ledger_connection_losses_total',
      help: 'Times that the database of the ledger could not be reached',
    }),
    available: meter.gauge({
      name: 'countersign_ledger_available',
      help: '1 while the database of the ledger answers',
    }),
  };
}
