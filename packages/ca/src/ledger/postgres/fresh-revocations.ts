import type { RevocationRecord } from '../ledger.ts';

/**
 * The newest revocations, where this process committed them itself: whoever follows the ledger here has them without a
 * journey to the database. Each names the one before it, so none can stand between; once another process revoked, they
 * are not the newest any more and no answer.
 */
export class FreshRevocations {
  #records: RevocationRecord[] = [];

  /** Committed by this process, in order. */
  add(records: readonly RevocationRecord[]): void {
    const [first] = records;
    if (first === undefined) return;
    const isNext = this.#records.at(-1)?.position === first.previous;
    this.#records = [...(isNext ? this.#records : []), ...records].slice(-mostKept);
  }

  /** Some went to the archive, maybe these. */
  clear(): void {
    this.#records = [];
  }

  /** The newest that is known to be committed by anybody. */
  expect(head: number): void {
    if (head > (this.#records.at(-1)?.position ?? 0)) this.clear();
  }

  /** Everything above a position, at most `limit`; undefined where the database has to be asked. */
  after(position: number, limit: number): readonly RevocationRecord[] | undefined {
    const from = this.#records.findIndex(({ previous }) => previous === position);
    return from === -1 ? undefined : this.#records.slice(from, from + limit);
  }
}

const mostKept = 512;
