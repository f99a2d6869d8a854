import { covers } from './covers.ts';
import type { CoveredQuestion, CoveredRuns } from './ledger.ts';
import { factsOf } from './ledger-store.ts';
import type { LedgerTransaction } from './ledger-transaction.ts';

/** Intents that are looked at in one page: what else waits for the ledger waits no longer than that. */
const mostLookedAt = 4000;
/** What ended so long ago is accepted by nobody, whatever clock it has. */
const longOverMs = 86_400_000;

/**
 * The positions of what a revocation covers and a certificate does not show, as runs: every intent in a run is covered, or
 * is over for long. Between the intents stand records of other kinds, which no certificate has the position of: so a run
 * ends only where there is somebody who is not covered, and even a million certificates may be one run.
 *
 * Of a key these are the certificates that it vouched for as a proof key: few, and found by it.
 */
export function coveredRuns(tx: LedgerTransaction, question: CoveredQuestion): CoveredRuns {
  const { above, below, mostRuns } = question;
  if (question.by === 'key') return vouchedRuns(tx, question);
  const page = tx.store.intentsBetween(above, below, mostLookedAt);
  const runs: number[] = [];
  let isOpen = false;
  let upTo = above;
  for (const intent of page) {
    const isCovered = covers({ ...question, position: below }, factsOf(intent));
    if (isCovered && !isOpen && runs.length === 2 * mostRuns) return { runs, upTo, more: true };
    if (isCovered && isOpen) runs[runs.length - 1] = intent.position;
    if (isCovered && !isOpen) runs.push(intent.position, intent.position);
    if (isCovered) isOpen = true;
    else if (intent.notAfter > tx.at - longOverMs) isOpen = false;
    upTo = intent.position;
  }
  return { runs, upTo, more: page.length === mostLookedAt };
}

function vouchedRuns(tx: LedgerTransaction, question: CoveredQuestion): CoveredRuns {
  const { value, above, below, mostRuns } = question;
  const page = tx.store.coveredIntents({ by: 'proof-key', value, above, below }, mostRuns);
  const runs = page
    .filter(({ notAfter }) => notAfter > tx.at - longOverMs)
    .flatMap(({ position }) => [position, position]);
  const upTo = page.at(-1)?.position ?? above;
  return { runs, upTo, more: page.length === mostRuns };
}
