import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noLog, systemClock, toHex } from '@countersign/base';
import { serialForPosition } from '@countersign/spiffe';
import {
  type IntentDraft,
  type Ledger,
  type LedgerRecord,
  openSqliteLedger,
} from '../src/index.ts';

/** What issuing costs the ledger, intent and certificate together, beside so many certificates that it has already. */
export interface GrowthFigure {
  readonly certificates: number;
  /** Wall time and CPU of the whole process, worker thread included. */
  readonly microsecondsEach: number;
  readonly cpuMicrosecondsEach: number;
  /** Of the file, its log included. */
  readonly bytesEach: number;
}

/** Measures a ledger as it grows, in a directory of its own (default: the system's; give the disk that matters). */
export async function measureLedgerGrowth(
  sizes: readonly number[],
  under: string = tmpdir(),
): Promise<GrowthFigure[]> {
  const directory = mkdtempSync(join(under, 'countersign-growth-'));
  const file = join(directory, 'ledger.db');
  const figures: GrowthFigure[] = [];
  const ledger = await openSqliteLedger({ file, create: true, clock: systemClock, log: noLog });
  try {
    for (const certificates of sizes) {
      await fill(ledger, certificates);
      await issueTogether(ledger, 20);
      const cpu = process.cpuUsage();
      const start = systemClock.monotonic();
      const issued = await issueTogether(ledger, 60);
      const wall = systemClock.monotonic() - start;
      const { user, system } = process.cpuUsage(cpu);
      const { issued: all } = await ledger.status();
      figures.push({
        certificates,
        microsecondsEach: (wall * 1000) / issued,
        cpuMicrosecondsEach: (user + system) / issued,
        bytesEach: statSync(file).size / all,
      });
    }
    return figures;
  } finally {
    await ledger.close();
    rmSync(directory, { recursive: true });
  }
}

const der = randomBytes(620);
const pageOf = 1000;
const callers = 64;

/** As a restore would: records of their own positions, a page a transaction. */
async function fill(ledger: Ledger, certificates: number): Promise<void> {
  for (let { position, issued } = await ledger.status(); issued < certificates; ) {
    const records: LedgerRecord[] = [];
    for (let i = 0; i < pageOf && issued < certificates; i += 1) {
      const intent = position + 1;
      const serialHex = toHex(serialForPosition(intent, randomBytes(12)));
      const at = systemClock.now();
      const { grant: _, provisioner, ...asked } = draftOf(issued);
      const said = { ...asked, spiffeId: asked.spiffeId ?? undefined, provisioner };
      records.push(
        {
          kind: 'intent',
          position: intent,
          at,
          serialHex,
          grant: 'operator',
          grantedBy: undefined,
          ...said,
        },
        { kind: 'issued', position: intent + 1, at, intent, serialHex, der },
      );
      position += 2;
      issued += 1;
    }
    await ledger.restore(records, []);
  }
}

async function issueTogether(ledger: Ledger, each: number): Promise<number> {
  await Promise.all(
    Array.from({ length: callers }, async () => {
      for (let i = 0; i < each; i += 1) {
        const intent = await ledger.intend(draftOf(i));
        if (!intent.ok) throw new Error(intent.detail);
        const { position, serialHex } = intent;
        await ledger.issued({ intent: position, serialHex, der });
      }
    }),
  );
  return callers * each;
}

/** A key of its own each time, under one of ten thousand names. */
function draftOf(number: number): IntentDraft {
  const spiffeId = `spiffe://example.com/ns/prod/sa/workload-${number % 10_000}`;
  return {
    grant: { kind: 'operator' },
    spiffeId,
    names: [`uri:${spiffeId}`, 'dns:orders.prod.internal'],
    spkiHash: createHash('sha256').update(randomBytes(16)).digest('hex'),
    provisioner: 'operator',
    issuer: 'services',
    notAfter: systemClock.now() + 3_600_000,
  };
}

if (import.meta.main) {
  const sizes = process.argv.slice(2).map(Number);
  const asked = sizes.length > 0 ? sizes : [10_000, 100_000, 1_000_000];
  for (const figure of await measureLedgerGrowth(asked)) {
    const { certificates, microsecondsEach, cpuMicrosecondsEach, bytesEach } = figure;
    const cost = `${microsecondsEach.toFixed(0)} µs, ${cpuMicrosecondsEach.toFixed(0)} µs of CPU`;
    console.log(
      `ledger of ${certificates} certificates: ${cost}, ${bytesEach.toFixed(0)} bytes each`,
    );
  }
}
