import { randomBytes } from 'node:crypto';
import { noLog, Secret, systemClock, toHex } from '@countersign/base';
import type { Ledger } from '../src/ledger/ledger.ts';
import { openPostgresLedger } from '../src/ledger/postgres/postgres-ledger.ts';
import { openSqliteLedger } from '../src/ledger/sqlite-ledger.ts';

/** Where the ledger is: the path of a file, or the URL and the schema of a database. */
export type LedgerPlace = readonly [file: string] | readonly [url: string, schema: string];

/** Of everything that the test has made before: ended for long by the clock of the process. */
export const ended = Date.UTC(2026, 0, 1);
const day = 86_400_000;
const now = ended + 30 * day;

export function openPlace(
  place: LedgerPlace,
  { create = false, at = now }: { readonly create?: boolean; readonly at?: number } = {},
): Promise<Ledger> {
  const shared = { clock: { ...systemClock, now: () => at }, log: noLog, create };
  const [first, schema] = place;
  if (schema === undefined) return openSqliteLedger({ file: first, ...shared });
  return openPostgresLedger({ url: () => new Secret(first), schema, ...shared });
}

/**
 * Archives in small steps, round after round, while it issues; it is there to be killed. Says on a line of its own which
 * serial was issued, and when a round was finished.
 */
async function archiveForever(place: LedgerPlace): Promise<void> {
  const ledger = await openPlace(place);
  process.stdout.write('ready\n');
  const issue = async () => {
    const intent = await ledger.intend({
      grant: { kind: 'operator' },
      spiffeId: 'spiffe://example.com/ns/prod/sa/young',
      names: [],
      spkiHash: toHex(randomBytes(32)),
      provisioner: 'operator',
      issuer: 'services',
      notAfter: now + day,
    });
    if (!intent.ok) throw new Error(intent.detail);
    const { position, serialHex } = intent;
    await ledger.issued({ intent: position, serialHex, der: randomBytes(40) });
    process.stdout.write(`issued ${serialHex}\n`);
  };
  const order = { endedBefore: ended + 20 * day, limit: 10, holder: 'the one', holdMs: 1 };
  for (;;) {
    const [{ next }] = await Promise.all([ledger.archiveEnded(order), issue()]);
    if (next === 'finished') process.stdout.write('finished\n');
  }
}

if (import.meta.main) await archiveForever(process.argv.slice(2) as unknown as LedgerPlace);
