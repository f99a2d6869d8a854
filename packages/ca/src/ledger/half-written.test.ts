import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { noLog, systemClock } from '@countersign/base';
import { whileAskedBy } from './asked.ts';
import { auditLedger } from './audit-ledger.ts';
import type { IntentDraft } from './ledger.ts';
import { openSqliteLedger } from './sqlite-ledger.ts';
import { verifyAudit } from './verify-audit.ts';

const draft: IntentDraft = {
  grant: { kind: 'operator' },
  names: [],
  spkiHash: '00'.repeat(32),
  provisioner: 'operator',
  issuer: 'services',
  notAfter: 2 ** 42,
};

/** Refuses the last write of an order, when the others of it are done. */
const trap = `CREATE TRIGGER trap BEFORE INSERT ON audit WHEN NEW.said LIKE '%"trapped"%'
  BEGIN SELECT raise(ABORT, 'trapped'); END`;

test('an order that fails between its writes leaves nothing, and takes nothing from those of its batch', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-half-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'ledger.db');
  const open = () => openSqliteLedger({ file, create: true, clock: systemClock, log: noLog });
  await (await open()).close();
  const database = new DatabaseSync(file);
  database.exec(trap);
  database.close();

  const ledger = await open();
  t.after(() => ledger.close());
  const [first, trapped, second] = await Promise.allSettled([
    ledger.intend(draft),
    whileAskedBy({ by: 'trapped' }, () => ledger.intend(draft)),
    ledger.intend(draft),
  ]);
  assert.ok(first.status === 'fulfilled' && first.value.ok);
  assert.ok(second.status === 'fulfilled' && second.value.ok);
  assert.deepEqual([first.value.position, second.value.position], [1, 2]);
  assert.equal(trapped.status === 'rejected' && trapped.reason.code, 'ERR_LEDGER_STATE');
  const next = await ledger.intend(draft);
  assert.equal(next.ok && next.position, 3);
  const [audit, trail] = [await auditLedger(ledger), await verifyAudit(ledger)];
  const own = 'trigger "trap" of the database: slipped in';
  assert.deepEqual([...audit.findings, ...trail.findings], [own]);
  assert.deepEqual([audit.records, trail.records], [3, 3]);
});
