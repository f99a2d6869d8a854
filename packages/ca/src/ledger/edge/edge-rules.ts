import { type Denial, denial } from '@countersign/base';
import type { LedgerTransaction } from '../ledger-transaction.ts';
import type { EdgeChange, EdgeQuery, EdgeRecord } from './edge-records.ts';

/** Writes, by name, of edges for other protocols. */
export const edgeWrites = {
  changeEdge(
    tx: LedgerTransaction,
    changes: readonly EdgeChange[],
  ): { readonly ok: true } | Denial {
    const { edge } = tx.store;
    const present = changes.map(({ kind, id }) => edge.record(kind, id));
    for (const [i, { kind, id, replaces }] of changes.entries()) {
      const version = present[i]?.version ?? 0;
      if (version === replaces) continue;
      const sides = `has version ${version}, ${replaces} was to be replaced`;
      return denial('ERR_LEDGER_EDGE_RECORD', `${kind} "${id}" ${sides}`, { kind, id, version });
    }
    for (const [i, { kind, id, replaces, expiresAt, body, ...said }] of changes.entries()) {
      const owner = said.owner ?? present[i]?.owner ?? '';
      if (body === undefined) edge.remove(kind, id);
      else edge.put({ kind, id, owner, version: replaces + 1, expiresAt, body });
    }
    // Whoever begins something clears up behind what has ended.
    if (changes.some(({ replaces }) => replaces === 0)) edge.forget(tx.at);
    return { ok: true };
  },
} as const;

export const edgeReads = {
  edgeRecord: (tx: LedgerTransaction, kind: string, id: string): EdgeRecord | undefined =>
    tx.store.edge.record(kind, id),

  edgeRecords: (tx: LedgerTransaction, query: EdgeQuery): readonly EdgeRecord[] =>
    tx.store.edge.records({ ...query, limit: Math.min(1000, Math.max(1, query.limit)) }),
} as const;
