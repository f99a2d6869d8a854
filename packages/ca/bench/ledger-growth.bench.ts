import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noLog, systemClock, toHex } from '@countersign/base';
import { serialForPosition } from '@countersign/spiffe';
import { type IntentDraft, type Ledger, openSqliteLedger, verifyAudit } from '../src/index.ts';
import type { IntentRecord, IssuedRecord } from '../src/ledger/ledger.ts';
import { openLedgerDatabase } from '../src/ledger/sqlite-schema.ts';
import { SqliteStore } from '../src/ledger/sqlite-store.ts';

/** What issuing costs the ledger, intent and certificate together, beside so many certificates that it has already. */
export interface GrowthFigure {
  readonly certificates: number;
  /** Wall time and CPU of the whole process, worker thread included. */
  readonly microsecondsEach: number;
  readonly cpuMicrosecondsEach: number;
  /** Of the file, its log included. */
  readonly bytesEach: number;
}

export interface GrowthOptions {
  /** A directory for the ledger's own: the system's unless given; give the disk that matters. */
  readonly under?: string;
  /** Told what the whole trail says of the ledger in the end. Not verified unless given. */
  readonly verified?: (verdict: Awaited<ReturnType<typeof verifyAudit>>, elapsedMs: number) => void;
}

/** Measures a ledger as it grows. Between the measurements nobody asks it: it is filled in this thread, unsynced. */
export async function measureLedgerGrowth(
  sizes: readonly number[],
  { under = tmpdir(), verified }: GrowthOptions = {},
): Promise<GrowthFigure[]> {
  const directory = mkdtempSync(join(under, 'countersign-growth-'));
  const file = join(directory, 'ledger.db');
  const figures: GrowthFigure[] = [];
  const open = () => openSqliteLedger({ file, create: true, clock: systemClock, log: noLog });
  try {
    for (const certificates of sizes) {
      fill(file, certificates);
      const ledger = await open();
      try {
        figures.push(await measureAt(ledger, certificates, file));
      } finally {
        await ledger.close();
      }
    }
    if (verified !== undefined) {
      const ledger = await open();
      try {
        const start = systemClock.monotonic();
        verified(await verifyAudit(ledger), systemClock.monotonic() - start);
      } finally {
        await ledger.close();
      }
    }
    return figures;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function measureAt(
  ledger: Ledger,
  certificates: number,
  file: string,
): Promise<GrowthFigure> {
  await issueTogether(ledger, 20);
  const cpu = process.cpuUsage();
  const start = systemClock.monotonic();
  const issued = await issueTogether(ledger, 60);
  const wall = systemClock.monotonic() - start;
  const { user, system } = process.cpuUsage(cpu);
  const { issued: all } = await ledger.status();
  return {
    certificates,
    microsecondsEach: (wall * 1000) / issued,
    cpuMicrosecondsEach: (user + system) / issued,
    bytesEach: statSync(file).size / all,
  };
}

const der = randomBytes(620);
const pageOf = 20_000;
const callers = 64;

/** What issuing writes, row for row, the audit trail with it: only that no page waits for the disk, or for its turn in memory. */
function fill(file: string, certificates: number): void {
  const database = openLedgerDatabase(file, { create: true });
  try {
    database.exec('PRAGMA synchronous = OFF; PRAGMA cache_size = -2000000');
    const store = new SqliteStore(database);
    for (let { issued } = store.status(); issued < certificates; ) {
      store.begin();
      for (let i = 0; i < pageOf && issued < certificates; i += 1) {
        addIssued(store, issued);
        issued += 1;
      }
      store.commit();
    }
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  } finally {
    database.close();
  }
}

function addIssued(store: SqliteStore, number: number): void {
  const at = systemClock.now();
  const { grant, spiffeId, names, spkiHash, provisioner, issuer, notAfter } = draftOf(number);
  const intent = store.nextPosition();
  const serialHex = toHex(serialForPosition(intent, randomBytes(12)));
  const ordered: IntentRecord = {
    ...{ kind: 'intent', position: intent, at, serialHex, spiffeId, names, spkiHash, provisioner },
    ...{ grant: grant.kind, grantedBy: undefined, issuer, notAfter },
    ...{ profile: undefined, proofKey: undefined },
  };
  store.addIntent(ordered);
  store.trail({ by: 'operator' }, ordered);
  const position = store.nextPosition();
  const issued: IssuedRecord = { kind: 'issued', position, at, intent, serialHex, der };
  store.addIssued(issued);
  store.trail({}, issued);
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
  const figures = await measureLedgerGrowth(asked, {
    verified({ findings, rows, records }, elapsedMs) {
      const verdict = findings.length === 0 ? 'sound' : findings.join('; ');
      const read = `${records} records and ${rows} rows in ${(elapsedMs / 1000).toFixed(0)} s`;
      console.log(`audit verify: ${verdict}, ${read}`);
    },
  });
  for (const figure of figures) {
    const { certificates, microsecondsEach, cpuMicrosecondsEach, bytesEach } = figure;
    const cost = `${microsecondsEach.toFixed(0)} µs, ${cpuMicrosecondsEach.toFixed(0)} µs of CPU`;
    console.log(
      `ledger of ${certificates} certificates: ${cost}, ${bytesEach.toFixed(0)} bytes each`,
    );
  }
}
