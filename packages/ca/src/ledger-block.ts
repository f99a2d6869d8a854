import type { Ledger, RevocationRecord } from './ledger/ledger.ts';

const page = 10_000;

/**
 * A revocation that blocks the SPIFFE ID or key for good, for telling before an order; the order itself asks again in
 * its transaction.
 */
export async function blockOf(
  values: { readonly 'spiffe-id'?: string | undefined; readonly key?: string | undefined },
  ledger: Pick<Ledger, 'revocationsAfter'>,
): Promise<RevocationRecord | undefined> {
  for (let after = 0; ; ) {
    const records = await ledger.revocationsAfter(after, page);
    const block = records.find(
      (each) =>
        each.block &&
        (each.by === 'spiffe-id' || each.by === 'key') &&
        each.value === values[each.by],
    );
    if (block !== undefined || records.length < page) return block;
    after = records.at(-1)?.position ?? Number.MAX_SAFE_INTEGER;
  }
}
