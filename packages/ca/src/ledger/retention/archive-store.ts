import type { RevocationRecord, TokenRecord } from '../ledger.ts';
import type { ArchiveMoves, EndedIntent, RetentionState } from './retention-records.ts';

/** The archive beside the tables of a ledger, from inside one transaction. Like them it decides nothing. */
export interface ArchiveStore {
  state(): RetentionState;
  keepState(state: RetentionState): void;
  /** Intents that are not archived, with a position above `after`, ascending. */
  intentsAfter(after: number, limit: number): readonly EndedIntent[];
  /** Tokens that are not archived, likewise. */
  tokensAfter(after: number, limit: number): readonly TokenRecord[];
  move(moves: ArchiveMoves): void;
  /** Of an intent that was archived: the revocation that covered it; undefined for any other. */
  archived(intent: number): { readonly revocation: RevocationRecord | undefined } | undefined;
  isArchivedRevocation(position: number): boolean;
}
