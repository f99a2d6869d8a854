import type { Ledger, RevocationRecord } from './ledger/ledger.ts';

/**
 * A revocation that blocks the SPIFFE ID or key for good, for telling before an order; the order itself asks again in
 * its transaction.
 */
export async function blockOf(
  values: { readonly 'spiffe-id'?: string | undefined; readonly key?: string | undefined },
  ledger: Pick<Ledger, 'blocking'>,
): Promise<RevocationRecord | undefined> {
  for (const by of ['spiffe-id', 'key'] as const) {
    const value = values[by];
    const block = value === undefined ? undefined : await ledger.blocking(by, value);
    if (block !== undefined) return block;
  }
  return undefined;
}
