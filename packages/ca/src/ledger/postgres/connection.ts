import { CountersignError, type Secret } from '@countersign/base';
import type { Client, ClientConfig, CustomTypesConfig } from 'pg';
import { connectionOf } from './database-url.ts';

export interface ConnectionOptions {
  /** Asked at each connection: a password may be changed while the process runs. */
  readonly url: () => Secret<string> | Promise<Secret<string>>;
  /** No statement takes longer, nor any connecting. */
  readonly timeoutMs: number;
  /** As `pg_stat_activity` shows it. */
  readonly application: string;
}

/**
 * One connection that comes back after each loss. Statements are pipelined: what is asked for in one turn travels
 * together, each answered in order.
 */
export class DatabaseConnection {
  readonly #options: ConnectionOptions;
  #client: Client | undefined;
  #connecting: Promise<Client> | undefined;
  #closed = false;
  #failures = 0;
  #cooldown: Promise<void> | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /**
   * The connected client. After failures it waits before it tries again, at most half a second.
   *
   * @throws whatever connecting failed with
   */
  async client(): Promise<Client> {
    if (this.#client !== undefined) return this.#client;
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  /** Ends it at once, whatever is under way; the next who asks gets another. */
  drop(client: Client): void {
    if (this.#client === client) this.#client = undefined;
    destroy(client);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const client = this.#client;
    this.#client = undefined;
    if (client === undefined) return;
    const over = setTimeout(() => destroy(client), 1000);
    await client.end().catch(() => {});
    clearTimeout(over);
  }

  async #connect(): Promise<Client> {
    const { application, timeoutMs } = this.#options;
    await this.#cooldown;
    if (this.#closed) throw new CountersignError('ERR_LEDGER_CLOSED', 'the ledger is closed');
    const url = await this.#options.url();
    const { Client, types } = await import('pg');
    const client = new Client({
      ...connectionOf(url.reveal()),
      application_name: application,
      connectionTimeoutMillis: timeoutMs,
      query_timeout: timeoutMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      pipeline: true,
      types: valuesOf(types),
    } as ClientConfig);
    client.on('error', () => this.drop(client));
    client.on('end', () => this.drop(client));
    try {
      await client.connect();
      await prepareSession(client, timeoutMs);
    } catch (thrown) {
      this.#failures += 1;
      this.#cooldown = coolDown(Math.min(500, 10 * 2 ** this.#failures));
      destroy(client);
      throw thrown;
    }
    this.#failures = 0;
    this.#cooldown = undefined;
    if (this.#closed) destroy(client);
    else this.#client = client;
    return client;
  }
}

/**
 * A commit that is answered must be on disk whatever the database's default is, and a process that dies in the middle
 * must not keep the head locked for others.
 */
async function prepareSession(client: Client, timeoutMs: number): Promise<void> {
  await client.query(
    `SET lock_timeout = ${timeoutMs}; SET idle_in_transaction_session_timeout = ${2 * timeoutMs}`,
  );
  const { rows } = await client.query(
    `SELECT current_setting('synchronous_commit', true) AS synchronous`,
  );
  if (rows[0]?.synchronous === 'off') await client.query('SET synchronous_commit = on');
}

function destroy(client: Client): void {
  client.on('error', () => {});
  (client as Client & { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}

/** It is the network that is waited for, so the time is the real one, whatever clock the ledger goes by. */
function coolDown(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}

/** Positions and times are safe integers; bytes get memory of their own, apart from what the socket read. */
function valuesOf(types: typeof import('pg').types): CustomTypesConfig {
  const own: Readonly<Record<number, (text: string) => unknown>> = {
    [types.builtins.INT8]: Number,
    [types.builtins.BYTEA]: (text) => new Uint8Array(Buffer.from(text.slice(2), 'hex')),
  };
  return {
    getTypeParser: (oid: number, format?: 'text' | 'binary') =>
      own[oid] ?? types.getTypeParser(oid, format as 'text'),
  } as CustomTypesConfig;
}
