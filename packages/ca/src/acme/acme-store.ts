import { CountersignError } from '@countersign/base';
import type { EdgeChange, EdgeRecord, EdgeState } from '../ledger/edge/edge-records.ts';
import type { Account, AcmeCertificate, Authorization, Order } from './acme-objects.ts';

/** An object with the version that its next change replaces. */
export interface Kept<T> {
  readonly value: T;
  readonly version: number;
}

interface Kinds {
  readonly 'acme-account': Account;
  readonly 'acme-order': Order;
  readonly 'acme-authorization': Authorization;
  readonly 'acme-certificate': AcmeCertificate;
  /** Which account has a key; its id is the thumbprint. */
  readonly 'acme-key': { readonly account: string };
  /** Which order replaces a certificate; its id is that of RFC 9773 §4.1. */
  readonly 'acme-replacement': { readonly order: string };
}

export type Kind = keyof Kinds;
export type ValueOf<K extends Kind> = Kinds[K];

/** ACME's objects in the edge's state. */
export class AcmeStore {
  readonly #state: EdgeState;

  constructor(state: EdgeState) {
    this.#state = state;
  }

  async find<K extends Kind>(kind: K, id: string): Promise<Kept<ValueOf<K>> | undefined> {
    // Ids come from addresses: what is none of ours needs no look.
    if (!/^[A-Za-z0-9_.-]{1,128}$/.test(id)) return undefined;
    const record = await this.#state.edgeRecord(kind, id);
    return record === undefined ? undefined : keptOf<K>(record);
  }

  /** Of what was found before and is certain to be there. */
  async mustFind<K extends Kind>(kind: K, id: string): Promise<Kept<ValueOf<K>>> {
    const found = await this.find(kind, id);
    if (found !== undefined) return found;
    throw new CountersignError('ERR_LEDGER_STATE', `the edge's record ${kind} "${id}" is gone`);
  }

  async of<K extends Kind>(
    kind: K,
    owner: string,
    page: { readonly after?: string; readonly limit: number },
  ): Promise<readonly Kept<ValueOf<K>>[]> {
    const { after = '', limit } = page;
    const records = await this.#state.edgeRecords({ kind, owner, after, limit });
    return records.map((record) => keptOf<K>(record));
  }

  /** All of them or, where another was faster with one of them, none: false. */
  async change(...changes: readonly EdgeChange[]): Promise<boolean> {
    return (await this.#state.changeEdge(changes)).ok;
  }

  /**
   * Changes one as often as others were faster. `decide` sees it as it is and gives what it becomes, or undefined where
   * it stays; what is answered is how it stands in the end.
   */
  async update<K extends Kind>(
    kind: K,
    id: string,
    decide: (value: ValueOf<K>) => ValueOf<K> | undefined,
    expiresAt: (value: ValueOf<K>) => number,
  ): Promise<ValueOf<K>> {
    for (;;) {
      const { value, version } = await this.mustFind(kind, id);
      const next = decide(value);
      if (next === undefined) return value;
      if (await this.change(replacing(kind, id, next, version, expiresAt(next)))) return next;
    }
  }
}

/** A record of ours that is new. */
export function creating<K extends Kind>(
  kind: K,
  id: string,
  value: ValueOf<K>,
  { owner = '', expiresAt }: { readonly owner?: string; readonly expiresAt: number },
): EdgeChange {
  return { kind, id, replaces: 0, owner, expiresAt, body: JSON.stringify(value) };
}

export function replacing<K extends Kind>(
  kind: K,
  id: string,
  value: ValueOf<K>,
  replaces: number,
  expiresAt: number,
): EdgeChange {
  return { kind, id, replaces, expiresAt, body: JSON.stringify(value) };
}

/** What ended is kept so long, for clients that come late. */
export const keptAfterEndMs = 7 * 86_400_000;

export function endOfAuthorization({ expiresAt }: Authorization): number {
  return expiresAt + keptAfterEndMs;
}

/** It stays until somebody takes it away. */
export const forever = Number.MAX_SAFE_INTEGER;

function keptOf<K extends Kind>({ body, version }: EdgeRecord): Kept<ValueOf<K>> {
  return { value: JSON.parse(body) as ValueOf<K>, version };
}
