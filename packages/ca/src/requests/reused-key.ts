import type { Denial } from '@countersign/base';
import { type CertificateNames, formatNames } from '../certificate-names.ts';
import { reuseAmong } from '../ledger/key-reuse.ts';
import type { Ledger } from '../ledger/ledger.ts';

/** As many certificates of one key are looked at: the newest. */
const mostLookedAt = 100;

/**
 * What the ledger would say of the key where an order were made now: it asks itself, in the transaction of the order.
 *
 * Denials: ERR_CSR_KEY_REUSED.
 */
export async function judgeReuse(
  names: CertificateNames,
  spkiHash: string,
  ledger: Pick<Ledger, 'findCertificates'>,
): Promise<Denial | undefined> {
  const earlier = await ledger.findCertificates({ spkiHash, limit: mostLookedAt });
  const spiffeId = names.spiffeId?.toString();
  return reuseAmong(earlier, { spiffeId, names: formatNames(names), spkiHash });
}
