import type { Denial } from '@countersign/base';
import type { RevocationBy } from './ledger.ts';
import type { LedgerTransaction } from './ledger-transaction.ts';

/** An answer whose count may be still to come. */
export type Uncounted<A extends { readonly matched: number }> = Omit<A, 'matched'> & {
  readonly matched: number | undefined;
};

export interface CountPage {
  readonly by: RevocationBy;
  readonly value: string;
  /** Everything up to it was counted. */
  readonly above: number;
}

export interface Counted {
  readonly matched: number;
  readonly upTo: number;
  readonly more: boolean;
}

/** Positions that are looked at in one page: what else waits for the ledger waits no longer than that. */
const mostLookedAt = 20_000;

/**
 * How many a revocation covers: of kinds that an index or the serial finds, at once. All others are compared one by one,
 * which takes a second for a million: undefined, they are counted page by page when the revocation stands.
 */
export function countAtOnce(
  tx: LedgerTransaction,
  by: RevocationBy,
  value: string,
): number | undefined {
  if (by !== 'serial' && by !== 'spiffe-id' && by !== 'key') return undefined;
  return tx.store.countCovered(by, value, tx.at, 0, Number.MAX_SAFE_INTEGER);
}

/** A page of the count. */
export function countCovered(tx: LedgerTransaction, { by, value, above }: CountPage): Counted {
  const { position } = tx.store.status();
  const upTo = Math.min(position, above + mostLookedAt);
  const matched = tx.store.countCovered(by, value, tx.at, above, upTo);
  return { matched, upTo, more: upTo < position };
}

/** The answer with its count, asked for page by page where it is still to come. */
export async function withCount<A extends { readonly ok: true; readonly matched: number }>(
  { by, value }: Pick<CountPage, 'by' | 'value'>,
  answer: Uncounted<A> | Denial,
  ask: (page: CountPage) => Promise<Counted>,
): Promise<A | Denial> {
  if (!('matched' in answer)) return answer;
  let { matched } = answer;
  if (matched === undefined) {
    matched = 0;
    for (let above = 0, more = true; more; ) {
      const page = await ask({ by, value, above });
      matched += page.matched;
      ({ upTo: above, more } = page);
    }
  }
  return { ...answer, matched } as unknown as A;
}
