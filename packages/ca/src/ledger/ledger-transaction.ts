import type { LedgerStore } from './ledger-store.ts';

/** One transaction: the tables, the moment, and where randomness comes from. */
export interface LedgerTransaction {
  readonly store: LedgerStore;
  readonly at: number;
  readonly random: (octets: number) => Uint8Array;
}

export function boundedLimit(limit: number): number {
  return Math.min(10_000, Math.max(1, Math.trunc(limit)));
}
