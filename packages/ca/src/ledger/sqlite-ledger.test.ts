import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { noLog, systemClock } from '@countersign/base';
import { auditTrailSuite, tamperings, threeCertificates } from './audit-trail.suite.ts';
import { edgeSuite } from './edge/edge.suite.ts';
import { leaseSuite } from './lease.suite.ts';
import { type LedgerUnderTest, ledgerSuite } from './ledger.suite.ts';
import type { IntentDraft } from './ledger.ts';
import { orderSuite } from './order.suite.ts';
import { archiveSuite } from './retention/archive.suite.ts';
import { revocationKindsSuite } from './revocation-kinds.suite.ts';
import { rotationSuite } from './rotation.suite.ts';
import { openSqliteLedger } from './sqlite-ledger.ts';
import { verifyAudit } from './verify-audit.ts';

const directory = mkdtempSync(join(tmpdir(), 'countersign-ledger-'));
let files = 0;
const freshFile = () => join(directory, `ledger-${files++}.db`);
after(() => rmSync(directory, { recursive: true }));

const subject: LedgerUnderTest = {
  open: (clock) => openSqliteLedger({ file: freshFile(), create: true, clock, log: noLog }),
};
ledgerSuite('sqlite ledger', subject);
leaseSuite('sqlite ledger', subject);
auditTrailSuite('sqlite ledger', subject);
revocationKindsSuite('sqlite ledger', subject);
orderSuite('sqlite ledger', subject);
rotationSuite('sqlite ledger', subject);
edgeSuite('sqlite ledger', subject);
archiveSuite('sqlite ledger', subject);

const draft: IntentDraft = {
  grant: { kind: 'operator' },
  names: [],
  spkiHash: '00'.repeat(32),
  provisioner: 'operator',
  issuer: 'services',
  notAfter: 2 ** 42,
};

describe('sqlite ledger file', () => {
  const open = (file: string) =>
    openSqliteLedger({ file, create: true, clock: systemClock, log: noLog });

  it('is readable by its owner alone and keeps its records', async () => {
    const file = freshFile();
    const first = await open(file);
    await first.intend(draft);
    await first.close();
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const second = await open(file);
    const next = await second.intend(draft);
    assert.equal(next.ok && next.position, 2);
    await second.close();
  });

  it('has one writer in a process', async () => {
    const file = freshFile();
    const first = await open(file);
    await assert.rejects(open(file), {
      code: 'ERR_LEDGER_LOCKED',
      message: new RegExp(`pid ${process.pid}`),
    });
    await first.intend(draft);
    await first.close();
    await (await open(file)).close();
  });

  it('has one writer on a machine, whose pid the refusal names, and is free once that one is killed', async () => {
    const file = freshFile();
    const holder = spawn(process.execPath, [...process.execArgv, '-e', holderProgram, file], {
      cwd: import.meta.dirname,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(holder, 'exit');
    await Promise.race([once(holder.stdout, 'data'), ended]);
    assert.equal(holder.exitCode, null);
    await assert.rejects(open(file), {
      code: 'ERR_LEDGER_LOCKED',
      message: new RegExp(`pid ${holder.pid}`),
    });
    holder.kill('SIGKILL');
    await ended;
    const ledger = await open(file);
    assert.equal((await ledger.status()).position, 1);
    await ledger.close();
  });

  it('is refused when a newer version wrote it', async () => {
    const file = freshFile();
    await (await open(file)).close();
    const database = new DatabaseSync(file);
    database.exec('PRAGMA user_version = 99');
    database.close();
    await assert.rejects(open(file), {
      code: 'ERR_LEDGER_VERSION',
      message: /schema 99, this version knows up to \d/,
    });
  });

  for (const { sql, finds } of tamperings) {
    it(`shows by name what was done to it: ${sql}`, async () => {
      const file = freshFile();
      const first = await open(file);
      await threeCertificates(first);
      await first.close();
      const database = new DatabaseSync(file);
      database.exec(`PRAGMA foreign_keys = OFF; ${sql}`);
      database.close();
      const ledger = await open(file);
      const { findings } = await verifyAudit(ledger);
      assert.match(findings.join('\n'), finds);
      await ledger.close();
    });
  }

  it('is given an audit trail of its records where it is older than the trail', async () => {
    const file = freshFile();
    const first = await open(file);
    await threeCertificates(first);
    await first.close();
    const database = new DatabaseSync(file);
    const later = [
      ...['intents', 'certificates', 'abandoned', 'tokens', 'revocations'].map(
        (each) => `archived_${each}`,
      ),
      ...['retention', 'list_numbers', 'documents', 'bundle_holders', 'edge_records'],
      ...['intents_by_name', 'intents_by_key', 'intent_index'],
    ];
    database.exec(later.map((table) => `DROP TABLE ${table};`).join(' '));
    database.exec(`
      DROP TABLE audit;
      DROP INDEX intents_provisioner;
      DROP INDEX intents_proof_key;
      CREATE INDEX intents_spiffe_id ON intents (spiffe_id) WHERE spiffe_id IS NOT NULL;
      CREATE INDEX intents_spki_hash ON intents (spki_hash);
      ALTER TABLE head DROP COLUMN audit;
      ALTER TABLE head DROP COLUMN audit_hash;
      ALTER TABLE intents DROP COLUMN profile;
      ALTER TABLE intents DROP COLUMN proof_key;
      PRAGMA user_version = 1;
    `);
    database.close();
    const ledger = await open(file);
    await threeCertificates(ledger);
    const { findings, rows, records } = await verifyAudit(ledger);
    assert.deepEqual(findings, []);
    assert.deepEqual([rows, records], [12, 12]);
    await ledger.close();
  });

  it('is refused when it is no ledger', async () => {
    const file = freshFile();
    writeFileSync(
      file,
      'this is not a database, and long enough to be looked at as one'.repeat(20),
    );
    await assert.rejects(open(file), {
      code: 'ERR_STATE_BROKEN',
      message: /damaged, or no ledger/,
    });
    const foreign = freshFile();
    const database = new DatabaseSync(foreign);
    database.exec('CREATE TABLE other (a); PRAGMA user_version = 1');
    database.close();
    await assert.rejects(open(foreign), { code: 'ERR_LEDGER_VERSION', message: /no ledger/ });
  });

  it('is made where it is missing or empty for a new authority alone', async () => {
    const existing = (file: string) => openSqliteLedger({ file, clock: systemClock, log: noLog });
    const file = freshFile();
    const missing = { code: 'ERR_STATE_BROKEN', message: /is missing/ };
    await assert.rejects(existing(file), missing);
    // That a refusal makes nothing: the next one says the same.
    await assert.rejects(existing(file), missing);
    writeFileSync(file, '');
    await assert.rejects(existing(file), { code: 'ERR_STATE_BROKEN', message: /is empty/ });
    assert.equal(statSync(file).size, 0);
    rmSync(file);
    new DatabaseSync(file).exec('CREATE TABLE other (a)');
    await assert.rejects(existing(file), { code: 'ERR_STATE_BROKEN', message: /no records/ });
    const fresh = freshFile();
    await (await open(fresh)).close();
    await (await existing(fresh)).close();
  });

  it('is said to be read-only where it is, and not to be of another version', {
    skip: process.getuid?.() === undefined ? 'no user ids here' : false,
  }, async () => {
    const home = mkdtempSync(join(directory, 'read-only-'));
    const file = join(home, 'ledger.db');
    await (await open(file)).close();
    chmodSync(file, 0o444);
    for (const path of [directory, home]) chmodSync(path, 0o755);
    const opener = spawn(process.execPath, [...process.execArgv, '-e', unprivileged, file], {
      cwd: import.meta.dirname,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    opener.stdout.on('data', (chunk) => {
      said += chunk;
    });
    await once(opener, 'close');
    assert.match(said, /^ERR_LEDGER_FAILED ledger ".*" cannot be opened for writing: .*EACCES/);
  });

  it('refuses further work once its file was moved away', async () => {
    const file = freshFile();
    const ledger = await open(file);
    await ledger.intend(draft);
    renameSync(file, `${file}.moved`);
    await assert.rejects(ledger.intend(draft), { code: 'ERR_LEDGER_FAILED' });
    await assert.rejects(ledger.status(), { code: 'ERR_LEDGER_FAILED' });
    assert.match(ledger.failure?.message ?? '', /moved or removed/);
    await ledger.close();
  });

  it('rejects what is pending and everything later when its worker dies', async () => {
    const worker = join(directory, 'dying-worker.mjs');
    writeFileSync(worker, dyingWorker);
    const ledger = await openSqliteLedger({
      file: freshFile(),
      create: true,
      clock: systemClock,
      log: noLog,
      worker: pathToFileURL(worker),
    });
    const pending = [ledger.intend(draft), ledger.status()];
    for (const one of pending) await assert.rejects(one, { code: 'ERR_LEDGER_FAILED' });
    await assert.rejects(ledger.status(), { code: 'ERR_LEDGER_FAILED' });
    await ledger.close();
  });

  it('cannot be opened in a directory that is not there', async () => {
    await assert.rejects(open(join(directory, 'missing', 'ledger.db')), {
      code: 'ERR_LEDGER_FAILED',
    });
  });
});

/** Root may write everything, so it becomes somebody else first. */
const unprivileged = `
  import('./sqlite-schema.ts').then(({ openLedgerDatabase }) => {
    if (process.getuid() === 0) {
      process.setgid(65534);
      process.setuid(65534);
    }
    try {
      openLedgerDatabase(process.argv[1], { create: false });
      console.log('opened');
    } catch (thrown) {
      console.log(thrown.code, thrown.message);
    }
  });
`;

const holderProgram = `
  import('./sqlite-ledger.ts').then(async ({ openSqliteLedger }) => {
    const { noLog, systemClock } = await import('@countersign/base');
    const ledger = await openSqliteLedger({ file: process.argv[1], create: true, clock: systemClock, log: noLog });
    await ledger.intend(${JSON.stringify(draft)});
    console.log('holding');
    setInterval(() => {}, 1000);
  });
`;

const dyingWorker = `
  import { parentPort } from 'node:worker_threads';
  parentPort.postMessage({ kind: 'ready' });
  parentPort.on('message', () => { throw new Error('the worker dies'); });
`;
