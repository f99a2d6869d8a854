import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noLog, systemClock } from '@countersign/base';
import { type IntentDraft, type Ledger, openSqliteLedger } from '../src/index.ts';

export interface LedgerFigures {
  /** One caller, one record after the other: each waits for its own sync to disk. */
  readonly alone: { readonly commits: number; readonly microsecondsEach: number };
  /** Many callers at once, whose records share commits. */
  readonly grouped: {
    readonly callers: number;
    readonly rows: number;
    readonly microsecondsEach: number;
  };
}

/** Measures the durable ledger in a directory of its own (default: the system's; give the disk that matters). */
export async function measureLedger(under: string = tmpdir()): Promise<LedgerFigures> {
  const directory = mkdtempSync(join(under, 'countersign-bench-'));
  try {
    const file = join(directory, 'ledger.db');
    const ledger = await openSqliteLedger({ file, create: true, clock: systemClock, log: noLog });
    await issueInTurn(ledger, 50);
    const alone = await timed(() => issueInTurn(ledger, 200));
    const callers = 64;
    const grouped = await timed(() =>
      Promise.all(Array.from({ length: callers }, () => issueInTurn(ledger, 50))),
    );
    await ledger.close();
    // Issuing is two records: the intent, then the certificate.
    return {
      alone: { commits: 400, microsecondsEach: (alone * 1000) / 400 },
      grouped: {
        callers,
        rows: callers * 100,
        microsecondsEach: (grouped * 1000) / (callers * 100),
      },
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const der = new Uint8Array(700).fill(0x30);
const draft: IntentDraft = {
  grant: { kind: 'operator' },
  spiffeId: 'spiffe://example.com/ns/prod/sa/orders',
  names: ['uri:spiffe://example.com/ns/prod/sa/orders', 'dns:orders.prod.internal'],
  spkiHash: 'ab'.repeat(32),
  provisioner: 'operator',
  issuer: 'services',
  notAfter: 2 ** 42,
};

async function issueInTurn(ledger: Ledger, times: number): Promise<void> {
  for (let i = 0; i < times; i += 1) {
    const intent = await ledger.intend(draft);
    if (!intent.ok) throw new Error(intent.detail);
    await ledger.issued({ intent: intent.position, serialHex: intent.serialHex, der });
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = systemClock.monotonic();
  await work();
  return systemClock.monotonic() - start;
}

if (import.meta.main) {
  const { alone, grouped } = await measureLedger(process.argv[2]);
  console.log(`ledger: a commit alone ${alone.microsecondsEach.toFixed(0)} µs`);
  console.log(
    `ledger: a row in groups ${grouped.microsecondsEach.toFixed(0)} µs (${grouped.callers} callers)`,
  );
}
