import { EdgeObjects } from '../ledger/edge/edge-objects.ts';
import type { EdgeChange } from '../ledger/edge/edge-records.ts';
import type { Account, AcmeCertificate, Authorization, Order } from './acme-objects.ts';

export { forever, type Kept } from '../ledger/edge/edge-objects.ts';

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
export class AcmeStore extends EdgeObjects<Kinds> {}

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
