import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import type { RotationStep } from '@countersign/wire';
import { issuedOf, request } from '../../../test/authority-under-test.ts';
import { parseCaConfig } from '../../ca-config.ts';
import { initAuthority } from '../../init-authority.ts';
import { signedLog } from '../../log/signed-log.ts';
import { openAuthority } from '../../open-authority.ts';
import { takeRotationStep } from '../../rotation/take-rotation-step.ts';
import { stateLayout } from '../../state-layout.ts';
import { backUpState, restoreState } from '../back-up-state.ts';
import { openSqliteLedger } from '../sqlite-ledger.ts';
import { verifyAudit } from '../verify-audit.ts';

const yaml = `
ca:
  root: { curve: P-256 }
  intermediate: { rest: { curve: P-256 } }
service_certificates: { san_policies: { spiffe_trust_domain: example.com } }
`;
const config = parseCaConfig(yaml, 'ca.yaml');
const shared = { config, clock: systemClock, log: noLog };

describe('an authority whose root was replaced', () => {
  const home = mkdtempSync(join(tmpdir(), 'countersign-put-back-'));
  const data = join(home, 'state');
  const open = (from = data) => openAuthority({ ...shared, data: from, meter: noMeter });
  let old: Readonly<Record<string, unknown>>;
  let newest: Readonly<Record<string, unknown>>;

  before(async () => {
    await initAuthority({ ...shared, data, configText: yaml });
    old = await take('prepare', 'activate');
    newest = await take('retire');
  });
  after(() => rmSync(home, { recursive: true }));

  /** @returns the document of the hierarchy afterwards */
  async function take(...steps: RotationStep[]) {
    const authority = await open();
    for (const step of steps) {
      const asked = { step, authority: 'root', force: true };
      const taken = await takeRotationStep(authority.rotation, asked);
      assert.ok(taken.ok, taken.ok ? '' : `${taken.code}: ${taken.detail}`);
    }
    await authority.close();
    return inDatabase((database) =>
      database.prepare("SELECT * FROM documents WHERE name = 'hierarchy'").get(),
    );
  }

  function inDatabase<T>(work: (database: DatabaseSync) => T): NonNullable<T> {
    const database = new DatabaseSync(stateLayout(data).ledger);
    try {
      return work(database) as NonNullable<T>;
    } finally {
      database.close();
    }
  }

  const put = ({ version, body }: Readonly<Record<string, unknown>>) =>
    inDatabase((database) =>
      database
        .prepare("INSERT OR REPLACE INTO documents VALUES ('hierarchy', ?, ?)")
        .run(Number(version), String(body)),
    );

  it('does not open over the hierarchy of before, in which the old root is trusted', async () => {
    put(old);
    await assert.rejects(open(), {
      code: 'ERR_LEDGER_TAMPERED',
      message: 'document "hierarchy": it has version 3, the audit trail says 4',
    });
    put({ ...old, version: 5 });
    await assert.rejects(open(), { code: 'ERR_LEDGER_TAMPERED', message: /it has version 5/ });
    put({ ...old, version: 4 });
    await assert.rejects(open(), { code: 'ERR_LEDGER_TAMPERED', message: /was changed: its hash/ });
    put(newest);
    await (await open()).close();
  });

  it('does not open without its hierarchy, and not by the copy in the data directory either', async () => {
    inDatabase((database) => database.exec("DELETE FROM documents WHERE name = 'hierarchy'"));
    await assert.rejects(open(), {
      code: 'ERR_LEDGER_TAMPERED',
      message: 'document "hierarchy": missing, the audit trail has version 4',
    });
    put(newest);
  });

  it('is told by its own log that the end of its ledger was cut off, head and trail with it', async () => {
    const authority = await open();
    const before = await authority.ledger.status();
    for (let i = 0; i < 2; i += 1) {
      const spiffeId = 'spiffe://example.com/ns/prod/sa/orders';
      issuedOf(await authority.issue({ csr: await request(), spiffeId }));
    }
    await authority.issuanceLog?.flush();
    const whole = await authority.ledger.status();
    await authority.close();
    const signed = await signedLog(data);
    const cut = join(home, 'cut.db');
    cpSync(stateLayout(data).ledger, cut);
    const database = new DatabaseSync(cut);
    const { hash } = before.audit;
    database.exec(`PRAGMA foreign_keys = OFF;
      DELETE FROM audit WHERE seq > ${before.audit.seq};
      DELETE FROM intents WHERE position > ${before.position};
      DELETE FROM certificates WHERE position > ${before.position};
      UPDATE head SET position = ${before.position}, audit = ${before.audit.seq},
        audit_hash = x'${hash}', intents = intents - 2, issued = issued - 2`);
    database.close();
    const ledger = await openSqliteLedger({ file: cut, clock: systemClock, log: noLog });
    assert.deepEqual((await verifyAudit(ledger)).findings, []);
    assert.match(
      (await verifyAudit(ledger, { signed })).findings.join(),
      /^issuance log: the ledger was cut: it was signed for \d+ certificates, the ledger has \d+$/,
    );
    assert.match(
      (await verifyAudit(ledger, { expect: whole.audit })).findings.join(),
      /^audit row \d+: missing, it was there before$/,
    );
    await ledger.close();
    const sound = await open();
    assert.deepEqual((await verifyAudit(sound.ledger, { signed })).findings, []);
    await sound.close();
  });

  it('opens once it was restored, with the root of now', async () => {
    const authority = await open();
    const { ledger } = authority;
    const out = join(home, 'backup');
    await backUpState({ data, out, ledger, withKeyFiles: true });
    const root = authority.rootFingerprint;
    await authority.close();
    const again = join(home, 'again');
    await restoreState({ ...shared, from: out, data: again, secrets: { env: {} } });
    const restored = await open(again);
    assert.equal(restored.rootFingerprint, root);
    assert.equal(restored.bundle().authorities.length, 1);
    const { findings, unmarked } = await verifyAudit(restored.ledger);
    assert.deepEqual([findings, unmarked], [[], []]);
    await restored.close();
    await (await open(again)).close();
  });
});
