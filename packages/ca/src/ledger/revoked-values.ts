import type { RevocationBy } from './ledger.ts';
import type { SqliteAccess } from './sqlite-access.ts';

/** As many are held; of more, those that are known not to be revoked, as many again. */
const mostHeld = 10_000;

/**
 * Which values a revocation in the ledger may name. An order asks about its name, its key and its provisioner several
 * times each; almost none was ever revoked. While few are, all that are revoked stand here, and no other is looked up;
 * beyond that, it remembers which were looked up in vain. Right as long as the store is the only one that writes.
 */
export class RevokedValues {
  /** Undefined where there are too many. */
  #revoked: ValueSet | undefined;
  readonly #unrevoked = new ValueSet();

  constructor({ all }: Pick<SqliteAccess, 'all'>) {
    const found = all('SELECT by_what, value FROM revocations LIMIT ?', mostHeld + 1);
    if (found.length > mostHeld) return;
    this.#revoked = new ValueSet();
    for (const row of found) this.#revoked.add(row.by_what as RevocationBy, String(row.value));
  }

  /** False: none names it. */
  mayName(by: RevocationBy, value: string): boolean {
    return this.#revoked?.has(by, value) ?? !this.#unrevoked.has(by, value);
  }

  /** It was looked up in vain. */
  noteUnrevoked(by: RevocationBy, value: string): void {
    if (this.#revoked !== undefined) return;
    if (this.#unrevoked.size >= mostHeld) this.#unrevoked.clear();
    this.#unrevoked.add(by, value);
  }

  /** Also where the revocation is undone later: then it is looked up again. */
  noteRevoked(by: RevocationBy, value: string): void {
    this.#unrevoked.delete(by, value);
    this.#revoked?.add(by, value);
    if (this.#revoked !== undefined && this.#revoked.size > mostHeld) this.#revoked = undefined;
  }
}

/** By kind: a text that is put together for each question is hashed for each. */
class ValueSet {
  readonly #byKind = new Map<RevocationBy, Set<string>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(by: RevocationBy, value: string): boolean {
    return this.#byKind.get(by)?.has(value) === true;
  }

  add(by: RevocationBy, value: string): void {
    const values = this.#byKind.get(by) ?? new Set();
    this.#byKind.set(by, values);
    this.#size += values.has(value) ? 0 : 1;
    values.add(value);
  }

  delete(by: RevocationBy, value: string): void {
    if (this.#byKind.get(by)?.delete(value) === true) this.#size -= 1;
  }

  clear(): void {
    this.#byKind.clear();
    this.#size = 0;
  }
}
