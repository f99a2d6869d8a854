import {
  type Clock,
  CountersignError,
  type Log,
  type Meter,
  noMeter,
  type Secret,
} from '@countersign/base';
import { LedgerFront } from '../ledger-front.ts';
import { describeUrl } from './database-url.ts';
import { PostgresEngine } from './postgres-engine.ts';

/*
 * Durability contract.
 *
 * - Any number of processes over one database. The head row is locked inside each committing transaction from before its
 *   first read to its end, so batches of all processes follow each other: positions have no gap, and what one process
 *   was answered the next one sees.
 * - A promise resolves after COMMIT was answered, with synchronous_commit on: what was acknowledged is as safe as the
 *   database keeps it. What a database loses by going back (an asynchronous copy that took over, an old backup) is
 *   noticed by every process that had seen further, which then refuses everything: ERR_LEDGER_FAILED.
 * - Group commit: what is asked for while a batch is under way goes together with the next one.
 * - A COMMIT without an answer is looked up, under the head's lock, by the number of the writer's last batch. It is
 *   repeated only where it turns out not to stand.
 * - While the database is away calls wait, at most `timeoutMs`, then throw ERR_LEDGER_UNAVAILABLE; what they asked for
 *   may stand or not. An intent whose caller was told so is abandoned as soon as that is known. The process recovers by
 *   itself when the database returns.
 * - An intent belongs to the process that ordered it. When that one is silent for 30 s, any other abandons it; a
 *   process that was only asleep can then not complete it any more.
 */

export interface PostgresLedgerOptions {
  /**
   * `postgres://user:password@host:port/database`, asked for at each connection. Over a network TLS with a verified
   * certificate is the default; `?sslmode=disable` does without.
   */
  readonly url: () => Secret<string> | Promise<Secret<string>>;
  /** Where its tables are. Default `countersign`. Lowercase letters, digits and `_`. */
  readonly schema?: string | undefined;
  /** Whether missing tables are made: for a new authority alone. Default false. */
  readonly create?: boolean | undefined;
  /** How long a call waits while the database is away. Default 5000, 100–60,000. */
  readonly timeoutMs?: number | undefined;
  /** How long between two looks for what other processes committed. Default 50, 5–100. */
  readonly pollMs?: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter?: Meter | undefined;
}

/** A ledger in a database, and which one: every ledger is given an id of its own when its tables are made. */
export class PostgresLedger extends LedgerFront {
  readonly #engine: PostgresEngine;

  constructor(
    connect: (committed: (head: number) => void) => PostgresEngine,
    parts: { readonly clock: Clock; readonly log: Log },
  ) {
    let engine: PostgresEngine | undefined;
    super((committed) => {
      engine = connect(committed);
      return engine;
    }, parts);
    this.#engine = engine as unknown as PostgresEngine;
  }

  get id(): string {
    return this.#engine.ledger;
  }

  /** Resolves once it is reached. */
  async open(): Promise<this> {
    await this.#engine.open();
    return this;
  }
}

/**
 * Opens the ledger in a PostgreSQL database, or one that speaks its dialect, beside any other process.
 *
 * @throws CountersignError ERR_LEDGER_UNAVAILABLE, ERR_LEDGER_VERSION, ERR_LEDGER_URL, ERR_STATE_BROKEN
 */
export async function openPostgresLedger(options: PostgresLedgerOptions): Promise<PostgresLedger> {
  const {
    url,
    schema = 'countersign',
    create = false,
    timeoutMs = 5000,
    pollMs = 50,
    clock,
    log,
  } = options;
  // It stands in statements as it is.
  if (!/^[a-z][a-z0-9_]{0,40}$/.test(schema)) {
    throw new CountersignError('ERR_LEDGER_URL', `schema "${schema}" is not a lowercase word`);
  }
  const place = describeUrl((await url()).reveal());
  const meter = options.meter ?? noMeter;
  const settings = { url, place, schema, create, timeoutMs, pollMs, clock, log, meter };
  const connect = (committed: (head: number) => void) => new PostgresEngine(settings, committed);
  return new PostgresLedger(connect, { clock, log }).open();
}
