import type { IntentRecord } from '../ledger.ts';

/** Which table is gone through; a round goes through all, in this order. */
export type RetentionPhase = 'intents' | 'revocations' | 'tokens';

/** Where the archiving of a ledger stands: one row that its processes share. */
export interface RetentionState {
  readonly phase: RetentionPhase;
  /** Everything up to this position was looked at in this phase. */
  readonly after: number;
  /** Who goes on with it, and until when nobody else does. */
  readonly holder: string | undefined;
  readonly heldUntil: number;
  /** Moved since the ledger was made: intents with what became of them, tokens, revocations by serial. */
  readonly certificates: number;
  readonly tokens: number;
  readonly revocations: number;
  /** Moved in this round. */
  readonly round: number;
  /** Of the round that was finished last: what had ended before it was moved. 0 when there was none. */
  readonly endedBefore: number;
  readonly finishedAt: number;
}

export interface RetentionOrder {
  /** What ended before it is moved. Ms since the epoch. */
  readonly endedBefore: number;
  /** Rows to look at, 1–10000. */
  readonly limit: number;
  /** This process, among those over the ledger. */
  readonly holder: string;
  /** For how long nobody else goes on with it. */
  readonly holdMs: number;
}

export interface RetentionTurn {
  /** Rows that were moved. */
  readonly moved: number;
  /** `held`: another process does it. */
  readonly next: 'more' | 'finished' | 'held';
  readonly state: RetentionState;
}

/** An intent and how it ended; undefined while it is open. */
export interface EndedIntent {
  readonly record: IntentRecord;
  readonly outcome: 'issued' | 'abandoned' | undefined;
}

/** What is moved, by position. */
export interface ArchiveMoves {
  readonly intents: readonly {
    readonly position: number;
    readonly revocation: number | undefined;
  }[];
  readonly tokens: readonly number[];
  readonly revocations: readonly {
    readonly position: number;
    readonly intent: number;
    /** The one that its certificate is covered by from now on; undefined where it was released. */
    readonly covering: number | undefined;
  }[];
}

export const noMoves: ArchiveMoves = { intents: [], tokens: [], revocations: [] };

export const retentionAtFirst: RetentionState = {
  phase: 'intents',
  after: 0,
  holder: undefined,
  heldUntil: 0,
  certificates: 0,
  tokens: 0,
  revocations: 0,
  round: 0,
  endedBefore: 0,
  finishedAt: 0,
};
