import type {
  IntentRecord,
  RevocationRecord,
  RevokedCursor,
  RevokedPage,
  RevokedRow,
} from './ledger.ts';
import { boundedLimit, type LedgerTransaction } from './ledger-transaction.ts';

/** What revocations cover, page by page: see `Ledger.revokedAfter`. */
export function revokedAfter(
  tx: LedgerTransaction,
  cursor: RevokedCursor,
  limit: number,
): RevokedPage {
  const most = boundedLimit(limit);
  // The one that the last page ended amid of, again.
  const behind = cursor.intent === cursor.revocation ? cursor.revocation : cursor.revocation - 1;
  const revocations = tx.store.revocationsAfter(behind, most);
  const rows: RevokedRow[] = [];
  let next = cursor;
  for (const revocation of revocations) {
    const { position } = revocation;
    const above = position === cursor.revocation ? cursor.intent : 0;
    const room = most - rows.length;
    if (room === 0) return { rows, next, more: true };
    const { intents, upTo } = coveredIntents(tx, revocation, above, room);
    for (const intent of intents) rows.push(revokedRow(intent, revocation));
    next = { revocation: position, intent: upTo };
    if (upTo < position) return { rows, next, more: true };
  }
  return { rows, next, more: revocations.length === most || rows.length === most };
}

function coveredIntents(
  tx: LedgerTransaction,
  { by, value, position }: RevocationRecord,
  above: number,
  limit: number,
): { readonly intents: readonly IntentRecord[]; readonly upTo: number } {
  if (by === 'serial') {
    const intent = tx.store.intentBySerial(value);
    const isNext = intent !== undefined && intent.position > above;
    return { intents: isNext ? [intent] : [], upTo: position };
  }
  const below = by === 'provisioner' ? Math.min(position, above + 1 + mostLookedAt) : position;
  const intents = tx.store.coveredIntents({ by, value, above, below }, limit);
  const last = intents.at(-1);
  if (last !== undefined && intents.length === limit) return { intents, upTo: last.position };
  return { intents, upTo: below < position ? below - 1 : position };
}

/**
 * A provisioner vouched for a large part of all certificates: they are walked through by position, so many in one page,
 * since to sort them for each page would take as long as to read them all.
 */
const mostLookedAt = 20_000;

function revokedRow(intent: IntentRecord, revocation: RevocationRecord): RevokedRow {
  const { position, serialHex, issuer, notAfter } = intent;
  const { at, reason } = revocation;
  return {
    revocation: revocation.position,
    at,
    reason,
    intent: position,
    serialHex,
    issuer,
    notAfter,
  };
}
