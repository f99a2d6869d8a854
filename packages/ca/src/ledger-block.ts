import type { Ledger, RevocationRecord } from './ledger/ledger.ts';

/**
 * A revocation that blocks the SPIFFE ID, key or provisioner for good, for telling before an order; the order itself asks again in
 * its transaction.
 */
export async function blockOf(
  values: { readonly [By in BlockedBy]?: string | undefined },
  ledger: Pick<Ledger, 'blocking'>,
): Promise<RevocationRecord | undefined> {
  for (const by of blockedBys) {
    const value = values[by];
    const block = value === undefined ? undefined : await ledger.blocking(by, value);
    if (block !== undefined) return block;
  }
  return undefined;
}

const blockedBys = ['spiffe-id', 'key', 'provisioner'] as const;
type BlockedBy = (typeof blockedBys)[number];
