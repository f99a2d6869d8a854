import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { type CountersignError, noLog, noMeter, systemClock } from '@countersign/base';
import { postgresServer } from '@countersign/testkit';
import { Client } from 'pg';
import { caYaml } from '../../test/api-under-test.ts';
import { parseCaConfig } from '../ca-config.ts';
import { initAuthority } from '../init-authority.ts';
import { openAuthority } from '../open-authority.ts';
import { backUpState, restoreState } from './back-up-state.ts';

const found = await postgresServer({ given: process.env.DATABASE_URL });
const skip = 'skip' in found ? found.skip : false;

it('a restore into a database that fails late says what to drop, and the next one goes through', {
  skip,
}, async (t) => {
  if ('skip' in found) return;
  const directory = mkdtempSync(join(tmpdir(), 'countersign-backup-postgres-'));
  const schema = `restore_${process.pid}`;
  const client = new Client({ connectionString: found.url });
  await client.connect();
  t.after(async () => {
    await client.query(`DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
    await client.end();
    await found.close();
    rmSync(directory, { recursive: true });
  });
  const shared = { clock: systemClock, log: noLog, secrets: { env: {} } };
  const inFile = { ...shared, config: parseCaConfig(caYaml, 'ca.yaml') };
  const text = `${caYaml}\nledger: { postgres: { url: "${found.url}", schema: ${schema} } }\n`;
  const inDatabase = { ...shared, config: parseCaConfig(text, 'ca.yaml') };
  const [made, from, data] = ['made', 'copy', 'state'].map((name) => join(directory, name));
  assert.ok(made && from && data);
  await initAuthority({ data: made, ...inFile });
  const authority = await openAuthority({ data: made, ...inFile, meter: noMeter });
  await backUpState({ data: made, out: from, ledger: authority.ledger, withKeyFiles: true });
  await authority.close();

  const file = join(from, 'ledger.ndjson');
  const sound = readFileSync(file, 'utf8');
  writeFileSync(file, sound.replace(/[^\n]+\n$/, ''));
  const refused = (await restoreState({ from, data, ...inDatabase }).then(
    () => assert.fail('it was restored'),
    (thrown: unknown) => thrown,
  )) as CountersignError;
  assert.equal(refused.code, 'ERR_LEDGER_BACKUP');
  const drop = /DROP SCHEMA "[a-z0-9_]+" CASCADE/.exec(refused.hint ?? '')?.[0];
  assert.equal(drop, `DROP SCHEMA "${schema}" CASCADE`);
  writeFileSync(file, sound);
  await assert.rejects(restoreState({ from, data, ...inDatabase }), { code: 'ERR_STATE_EXISTS' });
  await client.query(drop);
  const restored = await restoreState({ from, data, ...inDatabase });
  assert.ok(restored.records > 0);
});
