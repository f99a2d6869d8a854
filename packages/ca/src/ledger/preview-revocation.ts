import { type Denial, denial } from '@countersign/base';
import { countAtOnce, type Uncounted } from './count-covered.ts';
import type { RevocationOrder, RevocationPreview, RevocationRecord } from './ledger.ts';
import { factsOf } from './ledger-store.ts';
import type { LedgerTransaction } from './ledger-transaction.ts';
import { isHold, isRelease, malformedOrder } from './revocation-order.ts';
import { coveringRevocation, standing } from './standing-revocations.ts';

/**
 * What a revocation would cover, or why it is refused; nothing is written.
 *
 * Denials: ERR_LEDGER_ORDER, ERR_LEDGER_CERTIFICATE_UNKNOWN, ERR_LEDGER_NOT_HELD.
 */
export function previewRevocation(
  tx: LedgerTransaction,
  order: RevocationOrder,
): Uncounted<RevocationPreview> | Denial {
  const { by, value, reason } = order;
  const malformed = malformedOrder(order);
  if (malformed !== undefined) return malformed;
  if (by === 'serial' && tx.store.intentBySerial(value) === undefined) {
    return denial(
      'ERR_LEDGER_CERTIFICATE_UNKNOWN',
      `no certificate with serial "${value}" was ever ordered here`,
    );
  }
  const stands = standing(tx, by, value);
  if (isRelease(reason) && !stands.some((each) => isHold(each.reason))) {
    return notHeld(tx, order, stands.at(-1));
  }
  return {
    ok: true,
    matched: countAtOnce(tx, by, value),
    earlier: same(order, stands),
  };
}

/**
 * The record that a repeat answers, since another would cover no more: by the same serial, or of what is blocked, so that
 * nothing was ordered after it. Whoever proved a key once cannot fill the ledger with it, and no later record without
 * the block stands in front of it. What is named otherwise may be revoked again. A hold is repeated by a hold alone.
 */
function same(
  { by, reason }: RevocationOrder,
  stands: readonly RevocationRecord[],
): RevocationRecord | undefined {
  if (isRelease(reason)) return undefined;
  const final = stands.find((each) => !isHold(each.reason) && (by === 'serial' || each.block));
  if (final !== undefined || by !== 'serial') return final;
  return isHold(reason) ? stands.at(-1) : undefined;
}

/** RFC 5280 §5.3.1: a certificate that is revoked for any other reason stays so. */
function notHeld(
  tx: LedgerTransaction,
  { by, value }: RevocationOrder,
  stands: RevocationRecord | undefined,
): Denial {
  const intent = by === 'serial' ? tx.store.intentBySerial(value) : undefined;
  const covering = stands ?? (intent && coveringRevocation(tx, factsOf(intent)));
  const why = covering === undefined ? 'it is not on hold' : whyNot(covering, by);
  return denial('ERR_LEDGER_NOT_HELD', `cannot release ${by} "${value}": ${why}`, { by, value });
}

function whyNot({ by, value, reason, position }: RevocationRecord, asked: string): string {
  if (!isHold(reason)) return `it is revoked for good at position ${position}, reason ${reason}`;
  return `it is on hold by ${by} "${value}" at position ${position}, not by ${asked}; release that`;
}
