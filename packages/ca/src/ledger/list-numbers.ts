import type { LedgerTransaction } from './ledger-transaction.ts';

/** The newest list at a path, whichever process made it. */
export interface NumberedList {
  /** Decimal digits: it may be larger than any number of ours. */
  readonly number: string;
  /** Of the newest revocation that it knows of. */
  readonly position: number;
}

/**
 * Gives a list its number: the one that is wanted, or one more than the last, whoever took that. So the numbers of lists
 * follow each other however many processes publish over a ledger, and a later list knows what an earlier one knew (RFC
 * 5280 §5.2.3).
 *
 * @returns undefined where the last list knows of more revocations than this one would
 */
export function takeListNumber(
  tx: LedgerTransaction,
  path: string,
  { number: wanted, position }: NumberedList,
): string | undefined {
  const last = tx.store.numberedList(path);
  if (last !== undefined && last.position > position) return undefined;
  const isNext = last === undefined || BigInt(wanted) > BigInt(last.number);
  const number = isNext ? wanted : String(BigInt(last.number) + 1n);
  tx.store.putNumberedList(path, { number, position });
  return number;
}
