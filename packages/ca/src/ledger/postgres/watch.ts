import type { Client } from 'pg';
import type { DatabaseConnection } from './connection.ts';

export interface WatchOptions {
  readonly connection: DatabaseConnection;
  readonly schema: string;
  /** This process, among those over the ledger. */
  readonly writer: string;
  /** How long between two looks at the head. */
  readonly pollMs: number;
  /** When the head is asked for; what it answers is told the head. */
  readonly expectHead: () => (head: SeenHead) => void;
  /** It could not be connected to. */
  readonly onAway: (thrown: unknown) => void;
  /** It was connected, and did not answer well. */
  readonly onTrouble: (thrown: unknown) => void;
  /** Now and then, once this process has said that it lives. */
  readonly onTurn: () => Promise<void>;
}

export interface SeenHead {
  readonly ledger: string;
  readonly position: number;
  readonly revocation: number;
}

/** How often a process says that it lives, and looks for the intents of those that do not. */
const turnMs = 5000;

/**
 * Looks at the head at short intervals, so that what other processes commit is heard of here; and says now and then that
 * this process lives. Polling works over every database of the dialect, every proxy and after every fail-over.
 */
export class Watch {
  readonly #options: WatchOptions;
  readonly #done: Promise<void>;
  readonly #end = Promise.withResolvers<void>();
  #ended = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#done = this.#watch();
  }

  async stop(): Promise<void> {
    this.#ended = true;
    this.#end.resolve();
    await this.#done;
  }

  async #watch(): Promise<void> {
    const { connection, onAway, onTrouble, pollMs } = this.#options;
    const pollsATurn = Math.max(1, Math.round(turnMs / pollMs));
    for (let polls = 0; !this.#ended; polls += 1) {
      let client: Client | undefined;
      try {
        client = await connection.client();
        await this.#look(client, polls % pollsATurn === 0);
      } catch (thrown) {
        if (client !== undefined) connection.drop(client);
        if (this.#ended) return;
        if (client === undefined) onAway(thrown);
        else onTrouble(thrown);
      }
      await this.#pause(pollMs);
    }
  }

  async #look(client: Client, isTurn: boolean): Promise<void> {
    const { schema, writer, onTurn } = this.#options;
    const onHead = this.#options.expectHead();
    const { rows } = await client.query({
      name: 'look',
      text: `SELECT ledger, position, revocation FROM ${schema}.head WHERE id = 1`,
    });
    onHead(rows[0] as SeenHead);
    if (!isTurn) return;
    await client.query({
      name: 'live-on',
      text: `UPDATE ${schema}.writers SET seen_at = clock_timestamp() WHERE id = $1`,
      values: [writer],
    });
    await onTurn();
  }

  async #pause(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    timer?.unref();
    await Promise.race([over, this.#end.promise]);
    clearTimeout(timer);
  }
}
