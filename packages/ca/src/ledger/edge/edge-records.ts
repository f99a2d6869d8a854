import type { Denial } from '@countersign/base';

/**
 * What an edge for another protocol keeps between requests: accounts, orders, nonces. All processes over a ledger share
 * it. A record changes as a whole, by whoever has seen the version before, and is gone some time after its end.
 */
export interface EdgeRecord {
  /** What it is, such as `acme-order`. */
  readonly kind: string;
  /** Unlike all others of its kind; records of one owner are listed in the order of their ids. */
  readonly id: string;
  /** What it is found by beside its id; empty: by nothing else. */
  readonly owner: string;
  /** 1, 2, 3, … */
  readonly version: number;
  readonly expiresAt: number;
  /** JSON of the edge. */
  readonly body: string;
}

export interface EdgeChange {
  readonly kind: string;
  readonly id: string;
  /** The version that it replaces; 0: there must be none. */
  readonly replaces: number;
  /** Kept from the version before where absent; empty of a new one. */
  readonly owner?: string;
  readonly expiresAt: number;
  /** Undefined: it is taken away. */
  readonly body: string | undefined;
}

/** A page of the records of one owner. */
export interface EdgeQuery {
  readonly kind: string;
  readonly owner: string;
  /** Ids above it; empty: from the first. */
  readonly after: string;
  /** 1 to 1000. */
  readonly limit: number;
}

export interface EdgeState {
  edgeRecord(kind: string, id: string): Promise<EdgeRecord | undefined>;
  edgeRecords(query: EdgeQuery): Promise<readonly EdgeRecord[]>;
  /** All of them or none. Denials: `ERR_LEDGER_EDGE_RECORD` where one has another version by now. */
  changeEdge(changes: readonly EdgeChange[]): Promise<{ readonly ok: true } | Denial>;
}
