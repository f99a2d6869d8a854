import { covers, isWide, plainFacts } from './covers.ts';
import type { CoveredFacts, RevocationBy, RevocationRecord } from './ledger.ts';
import type { LedgerTransaction } from './ledger-transaction.ts';
import { isHold, isRelease } from './revocation-order.ts';

/*
 * Which revocations stand. One for good stands for ever. A hold stands until the release of the same kind and value;
 * neither it nor its release takes anything from one for good, before or after.
 */

/** What stands of one kind and value: the newest for good, and the newest hold behind it. */
export function standing(
  tx: LedgerTransaction,
  by: RevocationBy,
  value: string,
): readonly RevocationRecord[] {
  if (isWide(by)) {
    return standingWide(tx).filter((found) => found.by === by && found.value === value);
  }
  const latest = tx.store.latestRevocation(by, value);
  if (latest === undefined) return none;
  if (!isHold(latest.reason) && !isRelease(latest.reason)) return [latest];
  const final = tx.store.finalRevocation(by, value);
  const held = isHold(latest.reason) ? [latest] : none;
  return final === undefined ? held : [final, ...held];
}

/** Of the kinds that are compared with every certificate: all that stand, in their order. */
export function standingWide(tx: LedgerTransaction): readonly RevocationRecord[] {
  const all = tx.store.wideRevocations();
  if (all.length === 0) return all;
  const known = standingOf.get(all);
  if (known !== undefined) return known;
  const held = new Map<string, RevocationRecord>();
  const final = new Map<string, RevocationRecord>();
  for (const record of all) {
    const key = `${record.by} ${record.value}`;
    if (isRelease(record.reason)) held.delete(key);
    else if (isHold(record.reason)) held.set(key, record);
    else final.set(key, record);
  }
  const found = [...final.values(), ...held.values()].sort((a, b) => a.position - b.position);
  standingOf.set(all, found);
  return found;
}

/** A revocation that covers the certificate: one for good before a hold. */
export function coveringRevocation(
  tx: LedgerTransaction,
  certificate: CoveredFacts,
): RevocationRecord | undefined {
  let held: RevocationRecord | undefined;
  for (const revocation of candidates(tx, certificate)) {
    if (!covers(revocation, certificate)) continue;
    if (!isHold(revocation.reason)) return revocation;
    held ??= revocation;
  }
  return held;
}

function candidates(tx: LedgerTransaction, certificate: CoveredFacts): readonly RevocationRecord[] {
  const plain: RevocationRecord[] = [];
  for (const [by, fact] of plainFacts) {
    const value = fact(certificate);
    if (value !== undefined) plain.push(...standing(tx, by, value));
  }
  const wide = standingWide(tx);
  return plain.length === 0 ? wide : [...plain, ...wide];
}

const none: readonly RevocationRecord[] = [];
const standingOf = new WeakMap<readonly RevocationRecord[], readonly RevocationRecord[]>();
