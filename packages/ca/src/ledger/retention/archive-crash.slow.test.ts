import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { toHex } from '@countersign/base';
import { postgresServer } from '@countersign/testkit';
import { ended, type LedgerPlace, openPlace } from '../../../test/archive-process.ts';
import { auditLedger } from '../audit-ledger.ts';
import type { Ledger } from '../ledger.ts';
import { verifyAudit } from '../verify-audit.ts';

const program = fileURLToPath(new URL('../../../test/archive-process.ts', import.meta.url));
const hour = 3_600_000;
const certificates = 240;
const leastKills = 10;

/** What stood in the ledger before anything was archived. */
interface Made {
  readonly good: readonly string[];
  readonly revoked: readonly string[];
  readonly records: number;
}

describe('archiving that is killed at random moments', () => {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-archive-'));
  after(() => rmSync(directory, { recursive: true }));

  it('loses nothing and has nothing twice in a file', { timeout: 600_000 }, async (t) => {
    t.diagnostic(await killAndAudit([join(directory, 'ledger.db')]));
  });

  it('loses nothing and has nothing twice in PostgreSQL', { timeout: 600_000 }, async (t) => {
    const server = await postgresServer({ given: process.env.DATABASE_URL });
    if ('skip' in server) return t.skip(server.skip);
    try {
      t.diagnostic(await killAndAudit([server.url, `archive_crash_${process.pid}`]));
    } finally {
      await server.close();
    }
  });
});

async function killAndAudit(place: LedgerPlace): Promise<string> {
  const fresh = await openPlace(place, { create: true, at: ended });
  const made = await makeEnded(fresh);
  await fresh.close();
  const issued: string[] = [];
  let kills = 0;
  for (let finished = false; !finished || kills < leastKills; kills += 1) {
    finished = (await archiveUntilKilled(place, issued)) || finished;
    const ledger = await openPlace(place);
    await audit(ledger, made, issued);
    if (finished) assert.equal((await ledger.retention()).certificates, certificates);
    await ledger.close();
  }
  return `${kills} kills, ${made.records} records archived, ${issued.length} issued meanwhile`;
}

/** A third from tokens, a third revoked. */
async function makeEnded(ledger: Ledger): Promise<Made> {
  const made = { good: [] as string[], revoked: [] as string[] };
  const notAfter = ended + hour;
  await Promise.all(
    Array.from({ length: certificates }, async (_, i) => {
      const id = i.toString(16).padStart(16, '0');
      const secretHash = 'ab'.repeat(32);
      const isJoined = i % 3 === 0;
      const spiffeId = `spiffe://example.com/ns/prod/sa/old-${i}`;
      if (isJoined) {
        const draft = { id, secretHash, spiffeId, names: [], provisioner: 'operator' };
        await ledger.createToken({ ...draft, expiresAt: notAfter });
      }
      const intent = await ledger.intend({
        grant: isJoined ? { kind: 'token', id, secretHash } : { kind: 'operator' },
        ...{ spiffeId, names: [], provisioner: 'operator', issuer: 'services', notAfter },
        spkiHash: toHex(randomBytes(32)),
      });
      assert.ok(intent.ok, 'detail' in intent ? intent.detail : '');
      const { position, serialHex: value } = intent;
      await ledger.issued({ intent: position, serialHex: value, der: randomBytes(40) });
      made[i % 3 === 1 ? 'revoked' : 'good'].push(value);
      if (i % 3 !== 1) return;
      await ledger.revoke({ by: 'serial', value, reason: 'superseded', orderedBy: 'operator' });
    }),
  );
  return { ...made, records: (await ledger.status()).position };
}

/** @returns whether a round was finished before */
async function archiveUntilKilled(place: LedgerPlace, issued: string[]): Promise<boolean> {
  const child = spawn(process.execPath, [program, ...place], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  let finished = false;
  const ready = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line === 'ready') ready.resolve();
    else if (line === 'finished') finished = true;
    else issued.push(line.split(' ')[1] ?? '');
  });
  await Promise.race([ready.promise, closed]);
  assert.equal(child.exitCode, null, 'it ended by itself');
  await wait(Math.random() * 150);
  child.kill('SIGKILL');
  await closed;
  return finished;
}

async function audit(ledger: Ledger, made: Made, issued: readonly string[]): Promise<void> {
  const serials = [...made.good, ...made.revoked, ...issued];
  const { findings } = await auditLedger(ledger, { serials });
  const trail = await verifyAudit(ledger);
  assert.deepEqual([...findings, ...trail.findings], []);
  for (const [status, which] of [
    ['good', made.good],
    ['revoked', made.revoked],
  ] as const) {
    for (const serial of which) {
      assert.equal((await ledger.certificateStatus(serial)).status, status, serial);
    }
  }
}
