import type { EdgeQuery, EdgeRecord } from './edge-records.ts';
import { type EdgeStore, forgottenAtOnce } from './edge-store.ts';

/** The records of edges of a ledger in memory. */
export class MemoryEdge implements EdgeStore {
  readonly #records = new Map<string, EdgeRecord>();

  record(kind: string, id: string): EdgeRecord | undefined {
    return this.#records.get(`${kind} ${id}`);
  }

  records({ kind, owner, after, limit }: EdgeQuery): readonly EdgeRecord[] {
    return [...this.#records.values()]
      .filter((each) => each.kind === kind && each.owner === owner && each.id > after)
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .slice(0, limit);
  }

  put(record: EdgeRecord): void {
    this.#records.set(`${record.kind} ${record.id}`, record);
  }

  remove(kind: string, id: string): void {
    this.#records.delete(`${kind} ${id}`);
  }

  forget(at: number): void {
    const ended = [...this.#records.values()].filter(({ expiresAt }) => expiresAt <= at);
    for (const { kind, id } of ended.slice(0, forgottenAtOnce)) this.remove(kind, id);
  }
}
