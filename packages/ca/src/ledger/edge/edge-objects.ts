import { CountersignError } from '@countersign/base';
import type { EdgeChange, EdgeRecord, EdgeState } from './edge-records.ts';

/** An object with the version that its next change replaces. */
export interface Kept<T> {
  readonly value: T;
  readonly version: number;
}

/** It stays until somebody takes it away. */
export const forever = Number.MAX_SAFE_INTEGER;

/** An edge's objects in its state: `Kinds` says what each kind of record holds. */
export class EdgeObjects<Kinds extends object> {
  readonly #state: EdgeState;

  constructor(state: EdgeState) {
    this.#state = state;
  }

  async find<K extends keyof Kinds & string>(
    kind: K,
    id: string,
  ): Promise<Kept<Kinds[K]> | undefined> {
    // Ids come from addresses: what is none of ours needs no look.
    if (!/^[A-Za-z0-9_.-]{1,128}$/.test(id)) return undefined;
    const record = await this.#state.edgeRecord(kind, id);
    return record === undefined ? undefined : keptOf(record);
  }

  /** Of what was found before and is certain to be there. */
  async mustFind<K extends keyof Kinds & string>(kind: K, id: string): Promise<Kept<Kinds[K]>> {
    const found = await this.find(kind, id);
    if (found !== undefined) return found;
    throw new CountersignError('ERR_LEDGER_STATE', `the edge's record ${kind} "${id}" is gone`);
  }

  async of<K extends keyof Kinds & string>(
    kind: K,
    owner: string,
    page: { readonly after?: string; readonly limit: number },
  ): Promise<readonly Kept<Kinds[K]>[]> {
    const { after = '', limit } = page;
    const records = await this.#state.edgeRecords({ kind, owner, after, limit });
    return records.map((record) => keptOf(record));
  }

  /** All of them or, where another was faster with one of them, none: false. */
  async change(...changes: readonly EdgeChange[]): Promise<boolean> {
    return (await this.#state.changeEdge(changes)).ok;
  }

  /**
   * Changes one as often as others were faster. `decide` sees it as it is and gives what it becomes, or undefined where
   * it stays; what is answered is how it stands in the end.
   */
  async update<K extends keyof Kinds & string>(
    kind: K,
    id: string,
    decide: (value: Kinds[K]) => Kinds[K] | undefined,
    expiresAt: (value: Kinds[K]) => number,
  ): Promise<Kinds[K]> {
    for (;;) {
      const { value, version } = await this.mustFind(kind, id);
      const next = decide(value);
      if (next === undefined) return value;
      const body = JSON.stringify(next);
      const change = { kind, id, replaces: version, expiresAt: expiresAt(next), body };
      if (await this.change(change)) return next;
    }
  }
}

function keptOf<T>({ body, version }: EdgeRecord): Kept<T> {
  return { value: JSON.parse(body) as T, version };
}
