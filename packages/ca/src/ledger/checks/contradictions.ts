import { fromHex } from '@countersign/base';
import { positionOfSerial } from '@countersign/spiffe/serial-position';
import { wrongWithDocument } from '../document-mark.ts';
import type { LedgerTransaction } from '../ledger-transaction.ts';
import { mostFindings, positionsAtOnce } from './table-checks.ts';

export interface UnmarkedDocument {
  readonly name: string;
  readonly version: number;
}

export interface Contradictions {
  /** One sentence each, at most {@link mostFindings} of a kind. */
  readonly findings: readonly string[];
  /** Documents of which the audit trail says nothing: they were written before it did. */
  readonly unmarked: readonly UnmarkedDocument[];
}

/**
 * What the tables say against each other, of the records at `limit` positions above one: columns that are no record's and
 * that the audit trail does not cover, since they change afterwards. With the first positions comes what has none.
 */
export function contradictions(
  tx: LedgerTransaction,
  above: number,
  limit: number,
): Contradictions {
  const upTo = above + Math.max(1, Math.min(limit, positionsAtOnce));
  const findings = [
    ...tx.store.checks.contradictions({ above, upTo, at: tx.at }),
    ...wrongWithArchived(tx, above, upTo),
  ];
  if (above > 0) return { findings, unmarked: [] };
  const documents = tx.store.documentNames().map((name) => ({ name, ...tx.store.document(name) }));
  const wrong = documents.map(wrongWithDocument).filter((each) => each !== undefined);
  const unmarked = documents
    .filter(({ mark }) => mark === undefined)
    .map(({ name, document }) => ({ name, version: document?.version ?? 0 }));
  return { findings: [...findings, ...wrong], unmarked };
}

/** A revocation goes to the archive behind its certificate, which says there that it is covered. */
function wrongWithArchived(tx: LedgerTransaction, above: number, upTo: number): string[] {
  return tx.store.checks
    .archivedRevocations(above, upTo)
    .flatMap(({ position, serialHex, isFinal }) => {
      const intent = positionOfSerial(fromHex(serialHex) ?? new Uint8Array());
      const archived = intent === undefined ? undefined : tx.store.archive.archived(intent);
      const record = `ledger record ${position} (revocation)`;
      if (archived === undefined) {
        return [`${record}: archived, its certificate "${serialHex}" is not`];
      }
      if (!isFinal || archived.revocation !== undefined) return [];
      return [`certificate "${serialHex}": archived as not revoked, ledger record ${position} is`];
    })
    .slice(0, mostFindings);
}
