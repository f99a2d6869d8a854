import type { EdgeQuery, EdgeRecord } from './edge-records.ts';

/** The records of edges, from inside one transaction. Like the other tables of a ledger it decides nothing. */
export interface EdgeStore {
  record(kind: string, id: string): EdgeRecord | undefined;
  records(query: EdgeQuery): readonly EdgeRecord[];
  /** In the place of the one with that kind and id. */
  put(record: EdgeRecord): void;
  remove(kind: string, id: string): void;
  /** Takes those away whose end has passed, some at a time. */
  forget(at: number): void;
}

/** How many a change clears up behind those that have ended. */
export const forgottenAtOnce = 200;
