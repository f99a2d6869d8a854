import { type Denial, denial } from '@countersign/base';
import type { IntentDraft, IntentRecord } from './ledger.ts';
import type { LedgerTransaction } from './ledger-transaction.ts';

type Identified = Pick<IntentRecord, 'spiffeId' | 'names' | 'serialHex'>;
type Asked = Pick<IntentDraft, 'spiffeId' | 'names' | 'spkiHash'>;

/** As many orders of one key are looked at: a key that changes hands shows at once. */
const mostLookedAt = 100;

/**
 * Whether a key was ordered for another identity before, by an order that is still under way as well: of two at once the
 * second is refused. Expired and archived certificates count, abandoned orders do not.
 *
 * Denials: ERR_CSR_KEY_REUSED.
 */
export function refusalOfReuse({ store }: LedgerTransaction, asked: Asked): Denial | undefined {
  const range = { by: 'key', value: asked.spkiHash, above: 0, below: Number.MAX_SAFE_INTEGER };
  const ordered = store
    .coveredIntents({ ...range, by: 'key' }, mostLookedAt)
    .filter(({ position }) => store.outcomeOf(position) !== 'abandoned');
  const certified = store.findCertificates({ spkiHash: asked.spkiHash, limit: mostLookedAt });
  return reuseAmong([...ordered, ...certified], asked);
}

/** Denials: ERR_CSR_KEY_REUSED. */
export function reuseAmong(earlier: readonly Identified[], asked: Asked): Denial | undefined {
  const identity = identityOf(asked);
  const other = earlier.find((each) => identityOf(each) !== identity);
  if (other === undefined) return undefined;
  const sides = `was certified for "${identityOf(other)}", it is to be certified for "${identity}"`;
  return denial('ERR_CSR_KEY_REUSED', `key of the request ${sides}, and reused_keys is refuse`, {
    key: asked.spkiHash,
    serial: other.serialHex,
  });
}

/** The SPIFFE ID, or all names together where there is none. */
function identityOf({ spiffeId, names }: Pick<Asked, 'spiffeId' | 'names'>): string {
  return spiffeId ?? names.toSorted().join(', ');
}
