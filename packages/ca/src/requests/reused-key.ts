import { type Denial, denial } from '@countersign/base';
import { type CertificateNames, formatNames } from '../certificate-names.ts';
import type { CertificateRecord, Ledger } from '../ledger/ledger.ts';

/** As many certificates of one key are looked at: the newest, and a key that changes hands shows at once. */
const mostLookedAt = 100;

/**
 * Whether the key was certified for another identity before: one with another SPIFFE ID, or where there is none, with
 * other names. The ledger is asked, expired certificates included.
 *
 * Denials: ERR_CSR_KEY_REUSED.
 */
export async function judgeReuse(
  names: CertificateNames,
  spkiHash: string,
  ledger: Pick<Ledger, 'findCertificates'>,
): Promise<Denial | undefined> {
  const identity = identityOf(names.spiffeId?.toString(), formatNames(names));
  const earlier = await ledger.findCertificates({ spkiHash, limit: mostLookedAt });
  const other = earlier.find((each) => identityOf(each.spiffeId, each.names) !== identity);
  if (other === undefined) return undefined;
  const sides = `was certified for "${nameOf(other)}", it is to be certified for "${identity}"`;
  return denial('ERR_CSR_KEY_REUSED', `key of the request ${sides}, and reused_keys is refuse`, {
    key: spkiHash,
    serial: other.serialHex,
  });
}

function nameOf({ spiffeId, names }: CertificateRecord): string {
  return identityOf(spiffeId, names);
}

function identityOf(spiffeId: string | undefined, names: readonly string[]): string {
  return spiffeId ?? names.toSorted().join(', ');
}
