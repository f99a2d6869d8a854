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
    const covered = coveredIntents(tx, revocation, above, room);
    for (const intent of covered) rows.push(revokedRow(intent, revocation));
    const isWhole = covered.length < room;
    next = { revocation: position, intent: isWhole ? position : (covered.at(-1)?.position ?? 0) };
  }
  return { rows, next, more: revocations.length === most || rows.length === most };
}

function coveredIntents(
  tx: LedgerTransaction,
  { by, value, position }: RevocationRecord,
  above: number,
  limit: number,
): readonly IntentRecord[] {
  if (by !== 'serial') return tx.store.coveredIntents({ by, value, above, below: position }, limit);
  const intent = tx.store.intentBySerial(value);
  return intent === undefined || intent.position <= above ? [] : [intent];
}

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
