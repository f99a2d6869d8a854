import type { Acknowledgement, Lease } from './ledger.ts';
import * as rows from './ledger-rows.ts';
import type { NumberedList } from './list-numbers.ts';
import type { SqliteAccess } from './sqlite-access.ts';

/** The tables in SQLite that hold no records: who follows, what was acknowledged, which numbers lists have had. */
export class SqliteEdges {
  readonly #run: SqliteAccess['run'];
  readonly #get: SqliteAccess['get'];
  readonly #all: SqliteAccess['all'];

  constructor({ run, get, all }: SqliteAccess) {
    this.#run = run;
    this.#get = get;
    this.#all = all;
  }

  lease(instance: string): Lease | undefined {
    const row = this.#get('SELECT * FROM leases WHERE instance = ?', instance);
    return row && rows.leaseOf(row);
  }

  putLease(lease: Lease): void {
    this.#run(
      'INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?, ?, ?)',
      lease.instance,
      lease.spiffeId,
      lease.maxSilenceMs,
      lease.lastSeen,
      lease.expiresAt,
      lease.position,
      lease.closed,
    );
  }

  deleteLease(instance: string): void {
    this.#run('DELETE FROM leases WHERE instance = ?', instance);
  }

  liveLeases(at: number): readonly Lease[] {
    return this.#all('SELECT * FROM leases WHERE expires_at > ? ORDER BY instance', at).map(
      rows.leaseOf,
    );
  }

  forgetEdges(at: number, acknowledgedBefore: number): void {
    this.#run('DELETE FROM leases WHERE expires_at <= ?', at);
    this.#run('DELETE FROM acks WHERE at < ?', acknowledgedBefore);
  }

  addAcknowledgement(ack: Acknowledgement): void {
    this.#run(
      'INSERT OR IGNORE INTO acks VALUES (?, ?, ?, ?, ?, ?, ?)',
      ack.instance,
      ack.position,
      ack.spiffeId,
      ack.at,
      ack.closed,
      ack.kept,
      ack.elapsedMs,
    );
  }

  acknowledgements(position: number): readonly Acknowledgement[] {
    return this.#all(
      `SELECT * FROM acks AS a WHERE position = (
         SELECT min(position) FROM acks WHERE instance = a.instance AND position >= ?
       ) AND position >= ? ORDER BY instance`,
      position,
      position,
    ).map(rows.acknowledgementOf);
  }

  numberedList(path: string): NumberedList | undefined {
    const row = this.#get('SELECT * FROM list_numbers WHERE path = ?', path);
    return row && rows.numberedListOf(row);
  }

  putNumberedList(path: string, { number, position }: NumberedList): void {
    this.#run('INSERT OR REPLACE INTO list_numbers VALUES (?, ?, ?)', path, number, position);
  }
}
