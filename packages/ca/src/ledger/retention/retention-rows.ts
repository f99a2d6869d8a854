import type { Row } from '../ledger-rows.ts';
import { type RetentionPhase, type RetentionState, retentionAtFirst } from './retention-records.ts';

export function retentionOf(row: Row): RetentionState {
  if (row.phase === undefined) return retentionAtFirst;
  return {
    phase: String(row.phase) as RetentionPhase,
    after: Number(row.after),
    holder: typeof row.holder === 'string' ? row.holder : undefined,
    heldUntil: Number(row.held_until),
    certificates: Number(row.certificates),
    tokens: Number(row.tokens),
    revocations: Number(row.revocations),
    round: Number(row.round),
    endedBefore: Number(row.ended_before),
    finishedAt: Number(row.finished_at),
  };
}
