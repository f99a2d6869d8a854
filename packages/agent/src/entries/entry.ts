import { hash } from 'node:crypto';
import { type Denial, errorOfDenial } from '@countersign/base';
import { kindOfSelector, type SelectorKind } from '../attest/selector-kinds.ts';

/** Which process gets which identity. */
export interface Entry {
  /** The authority's, or a digest of the content for one of a file. */
  readonly id: string;
  readonly spiffeId: string;
  /** A process must have all of them. */
  readonly selectors: readonly string[];
  readonly kinds: ReadonlySet<SelectorKind>;
  /** Tells a workload with several identities what this one is for; empty: no hint. */
  readonly hint: string;
  /** Wished lifetime of X.509-SVIDs; the authority's default where absent. */
  readonly ttlMs?: number;
  /** Wished lifetime of JWT-SVIDs; the authority's default where absent. */
  readonly jwtTtlMs?: number;
  /** Further names of the certificate. */
  readonly dns: readonly string[];
  /** Foreign trust domains whose bundles the workload gets too. */
  readonly federatesWith: readonly string[];
}

export type EntryDraft = Omit<Entry, 'id' | 'kinds'> & { readonly id?: string };

/** @throws CountersignError ERR_AGENT_SELECTOR */
export function makeEntry(draft: EntryDraft): Entry {
  const kinds = new Set<SelectorKind>();
  for (const selector of draft.selectors) {
    const found: ReturnType<typeof kindOfSelector> | Denial = kindOfSelector(selector);
    if (!found.ok) throw errorOfDenial(found, `entry for "${draft.spiffeId}"`);
    kinds.add(found.kind);
  }
  return { ...draft, id: draft.id ?? digestOf(draft), kinds };
}

/** The same content has the same id, so that reading a file again renews nothing that did not change. */
function digestOf(draft: EntryDraft): string {
  const { spiffeId, selectors, ttlMs, dns } = draft;
  const content = JSON.stringify([spiffeId, [...selectors].sort(), ttlMs, dns]);
  return hash('sha256', content).slice(0, 24);
}
