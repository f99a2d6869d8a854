import type { SqliteAccess } from './sqlite-access.ts';

/** Positions; each certificate takes two. Those that ask by name or key read as many intents at most one by one. */
const mostRecent = 4096;

/** What an era is: positions without their last 15 bits. */
export const eraBits = 15;

/**
 * Intents by SPIFFE ID and by key. Names and keys come in any order: an index that each order writes to takes a page of
 * its own for each, more of the log than all the rest of a certificate. So what was ordered of late stands in no index,
 * and goes into both in one sorted run, by the very commit that makes it so many. Indexes begin with an era, so that a
 * run touches the pages of one or two eras alone, however many intents there are; who asks looks into each era in turn.
 *
 * Durable with the intents: what the tables hold of an intent is there if and only if its position is not above `upTo`.
 */
export class IntentIndex {
  readonly #sql: SqliteAccess;
  #upTo: number | undefined;
  /** Of the intents above `upTo`; read once somebody asks by key. */
  #recentKeys: Set<string> | undefined;

  constructor(sql: SqliteAccess) {
    this.#sql = sql;
  }

  /** Intents above it are in no index. */
  get upTo(): number {
    this.#upTo ??= Number(this.#sql.get('SELECT up_to FROM intent_index WHERE id = 1')?.up_to ?? 0);
    return this.#upTo;
  }

  /** Within the transaction that wrote the intents up to the head. */
  follow(head: number): void {
    const { upTo } = this;
    if (head - upTo < mostRecent) return;
    const { run } = this.#sql;
    run(`INSERT INTO intents_by_name ${namesBetween}`, upTo, head);
    run(`INSERT INTO intents_by_key ${keysBetween}`, upTo, head);
    run('UPDATE intent_index SET up_to = ? WHERE id = 1', head);
    this.#upTo = head;
    this.#recentKeys = undefined;
  }

  note(spkiHash: string): void {
    this.#recentKeys?.add(spkiHash);
  }

  /** False: no intent that is in no index has the key. */
  mayBeRecent(spkiHash: string): boolean {
    const found = () =>
      this.#sql.all('SELECT spki_hash FROM intents WHERE position > ?', this.upTo);
    this.#recentKeys ??= new Set(found().map((row) => String(row.spki_hash)));
    return this.#recentKeys.has(spkiHash);
  }

  /** What was written may be undone. */
  forget(): void {
    this.#upTo = undefined;
    this.#recentKeys = undefined;
  }
}

/** Out of the indexes, before the intent leaves its table. */
export function unindexIntent({ run }: Pick<SqliteAccess, 'run'>, position: number): void {
  const of = (column: string) => `(SELECT ${column} FROM intents WHERE position = ?1)`;
  const at = `era = ?1 >> ${eraBits} AND position = ?1`;
  run(`DELETE FROM intents_by_name WHERE ${at} AND spiffe_id = ${of('spiffe_id')}`, position);
  run(`DELETE FROM intents_by_key WHERE ${at} AND key = ${of(keyOf('spki_hash'))}`, position);
}

/** A quarter of it: what is found is compared whole. */
export function keyOf(spkiHash: string): string {
  return `substr(${spkiHash}, 1, 16)`;
}

const between = 'FROM intents WHERE position > ? AND position <= ?';
const namesBetween = `SELECT position >> ${eraBits}, spiffe_id, position ${between}
  AND spiffe_id IS NOT NULL ORDER BY 1, 2, 3`;
const keysBetween = `SELECT position >> ${eraBits}, ${keyOf('spki_hash')}, position ${between}
  ORDER BY 1, 2, 3`;
