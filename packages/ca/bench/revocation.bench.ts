import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { noLog, noMeter, systemClock } from '@countersign/base';
import {
  buildName,
  extension,
  generateKeyPair,
  keySigner,
  parseCertificate,
  signCertificate,
} from '@countersign/x509';
import { type Ledger, openSqliteLedger } from '../src/index.ts';
import { volatileListState } from '../src/publish/list-state.ts';
import { defaultCrl } from '../src/publish/publish-config.ts';
import { PublishMetrics } from '../src/publish/publish-metrics.ts';
import { RevocationLists } from '../src/publish/revocation-lists.ts';
import { RevokedIndex } from '../src/publish/revoked-index.ts';

export interface RevocationFigures {
  /** CPU of the whole process a revocation: append with the durable ledger, index, and the lists made meanwhile. */
  readonly micros: number;
  readonly entries: number;
  /** From the append to its being in the index that OCSP answers from, 99th percentile. */
  readonly visibleMs: number;
  /** To read everything that is revoked from the ledger, in the background of a start. */
  readonly loadMs: number;
}

/** Revoked one after the other. */
const counted = 2000;

/** What one more revocation costs where so many are revoked already. */
export async function measureRevocation(revoked: number): Promise<RevocationFigures> {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
  const file = join(directory, 'ledger.db');
  const ledger = await openSqliteLedger({ file, create: true, clock: systemClock, log: noLog });
  try {
    // One provisioner vouched for those that are revoked already: one record covers them.
    await orderMany(ledger, revoked, 'before');
    await ledger.revoke({ by: 'provisioner', value: 'before', ...why });
    const serials = await orderMany(ledger, counted, 'bench');
    const lists = await RevocationLists.open({
      issuers: [await benchIssuer()],
      crl: defaultCrl,
      url: 'http://pki.example.com',
      longestMs: 86_400_000,
      states: volatileListState(),
      takeNumber: async (_path, wanted) => wanted,
      clock: systemClock,
      log: noLog,
      metrics: new PublishMetrics(noMeter),
    });
    const loading = systemClock.monotonic();
    const onRevoked = lists.add.bind(lists);
    const index = new RevokedIndex({ ledger, clock: systemClock, log: noLog, onRevoked });
    lists.keep(index);
    await index.loaded;
    const loadMs = systemClock.monotonic() - loading;
    await lists.current('services', undefined, index);

    const visible: number[] = [];
    const before = process.cpuUsage();
    for (const value of serials) {
      await ledger.revoke({ by: 'serial', value, ...why });
      const committed = systemClock.monotonic();
      await index.ready(1000);
      visible.push(systemClock.monotonic() - committed);
    }
    // The list with the last of them is counted too.
    while ([...lists.all()][0]?.list.entries !== revoked + counted) await wait(20);
    const { user, system } = process.cpuUsage(before);
    await lists.stop();
    await index.stop();
    const visibleMs = visible.toSorted((a, b) => a - b)[Math.floor(counted * 0.99)] ?? Number.NaN;
    const entries = revoked + counted;
    return { micros: (user + system) / counted, entries, visibleMs, loadMs };
  } finally {
    await ledger.close();
    rmSync(directory, { recursive: true });
  }
}

const why = { reason: 'superseded', orderedBy: 'operator' } as const;

export async function orderMany(
  ledger: Ledger,
  count: number,
  provisioner: string,
): Promise<string[]> {
  const serials: string[] = [];
  const notAfter = systemClock.now() + 30 * 86_400_000;
  for (let from = 0; from < count; from += 2000) {
    const orders = Array.from({ length: Math.min(2000, count - from) }, () =>
      ledger.intend({
        grant: { kind: 'operator' },
        names: [],
        spkiHash: 'ab'.repeat(32),
        provisioner,
        issuer: 'services',
        notAfter,
      }),
    );
    for (const intent of await Promise.all(orders)) {
      if (!intent.ok) throw new Error(intent.detail);
      serials.push(intent.serialHex);
    }
  }
  return serials;
}

export async function benchIssuer() {
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  const signer = keySigner(privateKey);
  const name = buildName([{ type: 'CN', value: 'bench' }]);
  const now = systemClock.now();
  const template = {
    serial: Uint8Array.of(1),
    issuer: name,
    subject: name,
    notBefore: now - 1000,
    notAfter: now + 365 * 86_400_000,
    spki: signer.spki,
    extensions: [extension.basicConstraints({ ca: true })],
  };
  const certificate = parseCertificate(await signCertificate(template, signer));
  return { name: 'services', certificate, signer: async () => signer };
}
