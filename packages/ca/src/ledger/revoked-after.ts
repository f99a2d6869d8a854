import { covers } from './covers.ts';
import type {
  IntentRecord,
  RevocationRecord,
  RevokedCursor,
  RevokedPage,
  RevokedRow,
} from './ledger.ts';
import { factsOf, isIndexed } from './ledger-store.ts';
import { boundedLimit, type LedgerTransaction } from './ledger-transaction.ts';
import { isRelease } from './revocation-order.ts';
import { coveringRevocation } from './standing-revocations.ts';

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
    for (const intent of intents) rows.push(revokedRow(tx, intent, revocation));
    next = { revocation: position, intent: upTo };
    if (upTo < position) return { rows, next, more: true };
  }
  return { rows, next, more: revocations.length === most || rows.length === most };
}

function coveredIntents(
  tx: LedgerTransaction,
  revocation: RevocationRecord,
  above: number,
  limit: number,
): { readonly intents: readonly IntentRecord[]; readonly upTo: number } {
  const { by, value, position } = revocation;
  if (by === 'serial') {
    const intent = tx.store.intentBySerial(value);
    const isNext = intent !== undefined && intent.position > above;
    return { intents: isNext ? [intent] : [], upTo: position };
  }
  if (!isIndexed(by)) return walked(tx, revocation, above, limit);
  const below = by === 'provisioner' ? Math.min(position, above + 1 + mostLookedAt) : position;
  const intents = (by === 'key' ? (['key', 'proof-key'] as const) : [by])
    .flatMap((each) => tx.store.coveredIntents({ by: each, value, above, below }, limit))
    .sort((a, b) => a.position - b.position)
    .slice(0, limit);
  const last = intents.at(-1);
  if (last !== undefined && intents.length === limit) return { intents, upTo: last.position };
  return { intents, upTo: below < position ? below - 1 : position };
}

/** Kinds that no index finds: each intent below the revocation is compared, so many in one page. */
function walked(
  tx: LedgerTransaction,
  revocation: RevocationRecord,
  above: number,
  limit: number,
): { readonly intents: readonly IntentRecord[]; readonly upTo: number } {
  const page = tx.store.intentsBetween(above, revocation.position, mostCompared);
  const intents: IntentRecord[] = [];
  for (const intent of page) {
    if (!covers(revocation, factsOf(intent))) continue;
    intents.push(intent);
    if (intents.length === limit) return { intents, upTo: intent.position };
  }
  const last = page.at(-1)?.position ?? above;
  return { intents, upTo: page.length === mostCompared ? last : revocation.position };
}

/**
 * A provisioner vouched for a large part of all certificates: they are walked through by position, so many in one page,
 * since to sort them for each page would take as long as to read them all.
 */
const mostLookedAt = 20_000;
const mostCompared = 4000;

function revokedRow(
  tx: LedgerTransaction,
  intent: IntentRecord,
  revocation: RevocationRecord,
): RevokedRow {
  const { position, serialHex, issuer, notAfter } = intent;
  // What is released may be covered by something else, as of now: of that the rows that come later say no less.
  const other = isRelease(revocation.reason) ? coveringRevocation(tx, factsOf(intent)) : undefined;
  const { at, reason } = other ?? revocation;
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
