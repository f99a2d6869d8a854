import type { CoveredFacts, RevocationRecord } from '../ledger.ts';
import { factsOf } from '../ledger-store.ts';
import { boundedLimit, type LedgerTransaction } from '../ledger-transaction.ts';
import { isRelease } from '../revocation-order.ts';
import { coveringRevocation } from '../standing-revocations.ts';
import {
  type ArchiveMoves,
  noMoves,
  type RetentionOrder,
  type RetentionPhase,
  type RetentionState,
  type RetentionTurn,
} from './retention-records.ts';

/**
 * One step of a round through the ledger: looks at the next rows and moves what ended before `endedBefore` to the archive,
 * in one transaction. A record keeps its position and its words, so the audit trail, proofs and look-ups by serial are
 * what they were; what is not asked for by serial, key or position is not found any more.
 *
 * Moved are intents with what became of them; revocations by serial of those; and tokens that nobody can redeem. All
 * other revocations stay: they are few, and blocks hold for good. So do the newest one, which readers of the feed count
 * up to, and whatever came into being after `endedBefore`.
 */
export function archiveEnded(tx: LedgerTransaction, order: RetentionOrder): RetentionTurn {
  // 1. One process does it; another goes on where it stopped once it was silent.
  const state = tx.store.archive.state();
  if (state.holder !== order.holder && state.heldUntil > tx.at) {
    return { moved: 0, next: 'held', state };
  }

  // 2. The next rows of this phase. The table ends for us where rows are younger than what is to go.
  const limit = boundedLimit(order.limit);
  const { seen, moves } = phases[state.phase](tx, { ...order, after: state.after, limit });
  const reached = seen.findIndex(({ at }) => at >= order.endedBefore);
  const isOver = reached >= 0 || seen.length < limit;

  // 3. Moved, and noted how far.
  tx.store.archive.move(moves);
  const { intents, tokens, revocations } = moves;
  const moved = intents.length + tokens.length + revocations.length;
  const round = state.round + moved;
  const next = isOver ? follower[state.phase] : state.phase;
  const after = isOver ? 0 : (seen.at(-1)?.position ?? 0);
  const counted: RetentionState = {
    ...state,
    certificates: state.certificates + intents.length,
    tokens: state.tokens + tokens.length,
    revocations: state.revocations + revocations.length,
    holder: order.holder,
    heldUntil: tx.at + order.holdMs,
    round,
    phase: next ?? 'intents',
    after,
  };
  if (next !== undefined) return keep(tx, { moved, next: 'more', state: counted });

  // 4. A round is over: who archived, and how much, stands in the trail.
  if (round > 0) {
    const until = new Date(order.endedBefore).toISOString();
    const detail = `${round} records that ended before ${until}`;
    tx.store.trail({ at: tx.at, what: 'archived', by: 'authority', detail });
  }
  const { endedBefore } = order;
  const finished = { ...counted, round: 0, endedBefore, finishedAt: tx.at };
  return keep(tx, { moved, next: 'finished', state: finished });
}

/** The revocation that covered a certificate when it was archived; asked for those alone that are over. */
export function archivedRevocation(
  tx: LedgerTransaction,
  certificate: CoveredFacts & { readonly notAfter: number },
): RevocationRecord | undefined {
  if (certificate.notAfter >= tx.at) return undefined;
  return tx.store.archive.archived(certificate.position)?.revocation;
}

/**
 * Revocations as a reader of the feed sees them: where the one before was archived, the reader's own place counts as it,
 * so that a gap is still a gap. The record itself says what it always said.
 */
export function withoutArchived(
  tx: LedgerTransaction,
  cursor: number,
  found: readonly RevocationRecord[],
): readonly RevocationRecord[] {
  let before = cursor;
  return found.map((record) => {
    const isBehind =
      record.previous > before && tx.store.archive.isArchivedRevocation(record.previous);
    const seen = isBehind ? { ...record, previous: before } : record;
    before = record.position;
    return seen;
  });
}

const follower: Readonly<Record<RetentionPhase, RetentionPhase | undefined>> = {
  intents: 'revocations',
  revocations: 'tokens',
  tokens: undefined,
};

interface Step extends RetentionOrder {
  readonly after: number;
}

interface Seen {
  readonly seen: readonly { readonly position: number; readonly at: number }[];
  readonly moves: ArchiveMoves;
}

const phases: Readonly<Record<RetentionPhase, (tx: LedgerTransaction, step: Step) => Seen>> = {
  intents(tx, { after, limit, endedBefore }) {
    const page = tx.store.archive.intentsAfter(after, limit);
    const ended = page.filter(
      ({ record, outcome }) => outcome !== undefined && record.notAfter < endedBefore,
    );
    const intents = ended.map(({ record }) => ({
      position: record.position,
      revocation: coveringRevocation(tx, factsOf(record))?.position,
    }));
    return { seen: page.map(({ record }) => record), moves: { ...noMoves, intents } };
  },

  revocations(tx, { after, limit, endedBefore }) {
    const page = tx.store.revocationsAfter(after, limit);
    const newest = tx.store.revocationHead();
    const revocations = page.flatMap((revocation) => {
      const { by, value, position, at, block } = revocation;
      if (by !== 'serial' || block || position === newest || at >= endedBefore) return [];
      const intent = tx.store.intentBySerial(value);
      const archived = intent && tx.store.archive.archived(intent.position);
      if (intent === undefined || archived === undefined) return [];
      const latest = tx.store.latestRevocation('serial', value);
      const earlier =
        latest !== undefined && isRelease(latest.reason) ? undefined : archived.revocation;
      const covering = coveringRevocation(tx, factsOf(intent)) ?? earlier;
      return [{ position, intent: intent.position, covering: covering?.position }];
    });
    return { seen: page, moves: { ...noMoves, revocations } };
  },

  tokens(tx, { after, limit, endedBefore }) {
    const page = tx.store.archive.tokensAfter(after, limit);
    const ended = page.filter(({ expiresAt }) => expiresAt < endedBefore);
    const tokens = ended.map(({ position }) => position);
    return { seen: page, moves: { ...noMoves, tokens } };
  },
};

function keep(tx: LedgerTransaction, turn: RetentionTurn): RetentionTurn {
  tx.store.archive.keepState(turn.state);
  return turn;
}
