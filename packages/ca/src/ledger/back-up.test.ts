import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { caYaml, newRequest } from '../../test/api-under-test.ts';
import type { Authority } from '../authority.ts';
import { parseCaConfig } from '../ca-config.ts';
import { initAuthority } from '../init-authority.ts';
import { openAuthority } from '../open-authority.ts';
import { stateStatus } from '../status/state-status.ts';
import { backUpState, restoreState } from './back-up-state.ts';
import { verifyAudit } from './verify-audit.ts';

const directory = mkdtempSync(join(tmpdir(), 'countersign-backup-'));
after(() => rmSync(directory, { recursive: true }));

const config = parseCaConfig(caYaml, 'ca.yaml');
const withJwt = parseCaConfig(`${caYaml}\njwt: {}\n`, 'ca.yaml');
const shared = { config, clock: systemClock, log: noLog, secrets: { env: {} } };
const orders = 'spiffe://example.com/ns/prod/sa/orders';

async function issue(authority: Authority): Promise<string> {
  const { csr } = await newRequest();
  const issued = await authority.issue({ csr, spiffeId: orders, dns: [], ip: [] });
  assert.ok(issued.ok);
  return issued.serialHex;
}

type Change = (other: (name: string) => string) => string | undefined;

describe('backup', () => {
  it('is taken while the authority issues, and restores to a ledger that is proved sound and goes on', async () => {
    const [data, out, again] = ['state', 'copy', 'again'].map((name) => join(directory, name));
    assert.ok(data && out && again);
    await initAuthority({ data, ...shared });
    const authority = await openAuthority({ data, ...shared, meter: noMeter });
    const before = [await issue(authority), await issue(authority)];
    const created = await authority.createToken({ spiffeId: orders, dns: [], ip: [] });
    assert.ok(created.ok);
    let done = false;
    const going = (async () => {
      while (!done) await issue(authority);
    })();
    const { ledger } = authority;
    const made = await backUpState({ data, out, ledger, withKeyFiles: true });
    const revoked = await authority.revoke(
      { by: 'spiffe-id', value: orders, reason: 'superseded', waitMs: 0 },
      { kind: 'operator' },
    );
    assert.ok(revoked.ok);
    done = true;
    await going;
    await authority.close();

    const restored = await restoreState({ from: out, data: again, ...shared });
    assert.equal(restored.records, made.records);
    assert.equal(statSync(join(out, 'ledger.ndjson')).mode & 0o777, 0o600);
    const second = await openAuthority({ data: again, ...shared, meter: noMeter });
    for (const serial of before) {
      assert.equal((await second.ledger.certificateStatus(serial)).status, 'good');
    }
    const { csr } = await newRequest();
    assert.ok((await second.enrol({ csr, token: created.token })).ok);
    const { findings } = await verifyAudit(second.ledger, { expect: made.audit });
    assert.deepEqual(findings, []);
    await second.close();
  });

  it('puts the hierarchy of the data directory into the ledger once, newer than every copy of it', async () => {
    const [data, out, again] = ['state', 'rotated', 'rotated-again'].map((name) =>
      join(directory, name),
    );
    assert.ok(data && out && again);
    const open = (from: string) => openAuthority({ data: from, ...shared, meter: noMeter });
    const first = await open(data);
    assert.ok((await first.rotation?.prepare('root', { by: 'operator' }))?.ok);
    const { sequence } = first.rotation?.document ?? {};
    const before = await first.ledger.document('hierarchy');
    await backUpState({ data, out, ledger: first.ledger, withKeyFiles: true });
    await first.close();
    await restoreState({ from: out, data: again, ...shared });
    for (let opened = 1; opened <= 2; opened += 1) {
      const second = await open(again);
      assert.equal(second.rotation?.document.sequence, sequence);
      const found = await second.ledger.document('hierarchy');
      assert.equal(found?.version, (before?.version ?? 0) + 1);
      assert.deepEqual((await verifyAudit(second.ledger)).findings, []);
      await second.close();
    }
  });

  it('takes along a key file that lies elsewhere, or is refused by its name', async () => {
    const [data, out, again, keyFile] = ['sealed', 'sealed-copy', 'sealed-again', 'kf.key'].map(
      (name) => join(directory, name),
    );
    assert.ok(data && out && again && keyFile);
    await initAuthority({ data, ...shared, keyFile });
    const authority = await openAuthority({ data, ...shared, meter: noMeter });
    const { ledger } = authority;
    await backUpState({ data, out, ledger, withKeyFiles: true });
    rmSync(keyFile);
    const refused = backUpState({ data, out: `${out}-2`, ledger, withKeyFiles: true });
    await assert.rejects(refused, { code: 'ERR_FILE', message: /kf\.key/ });
    await authority.close();
    assert.equal(statSync(join(out, 'unseal.key')).mode & 0o777, 0o600);
    assert.ok((await restoreState({ from: out, data: again, ...shared })).withKeyFiles);
    const second = await openAuthority({ data: again, ...shared, meter: noMeter });
    await issue(second);
    await second.close();
  });

  it('leaves out what opens the keys unless asked for it', async () => {
    const [data, out] = [join(directory, 'state'), join(directory, 'without-keys')];
    const authority = await openAuthority({ data, ...shared, meter: noMeter });
    await backUpState({ data, out, ledger: authority.ledger });
    await authority.close();
    assert.ok(existsSync(join(out, 'root.key.json')));
    assert.ok(!existsSync(join(out, 'unseal.key')));
  });

  const tamperings: readonly [what: string, change: (text: string) => string, finds: RegExp][] = [
    ['cut short', (text) => `${text.split('\n').slice(0, -3).join('\n')}\n`, /it ends after/],
    [
      'changed',
      (text) =>
        text.replaceAll('superseded', 'unspecified').replaceAll('"names":["', '"names":["x'),
      /ledger record \d+ \(intent of .*changed/,
    ],
    ['another file', () => '{"hello":1}\n', /it is no backup of a ledger/],
    ['empty', () => '', /it is empty/],
    [
      'missing a record',
      (text) =>
        text
          .split('\n')
          .filter((_, i) => i !== 3)
          .join('\n'),
      /does not follow/,
    ],
  ];
  for (const [what, change, finds] of tamperings) {
    it(`is refused when it is ${what}, and leaves no directory behind`, async () => {
      const from = join(directory, 'copy');
      const file = join(from, 'ledger.ndjson');
      const text = readFileSync(file, 'utf8');
      writeFileSync(file, change(text));
      const data = join(directory, 'never');
      await assert.rejects(restoreState({ from, data, ...shared }), (thrown: Error) => {
        assert.match(thrown.message, finds);
        return (thrown as Error & { code?: string }).code === 'ERR_LEDGER_BACKUP';
      });
      assert.ok(!existsSync(data));
      writeFileSync(file, text);
    });
  }

  const unfit: readonly [what: string, file: string, change: Change, finds: RegExp][] = [
    ['no key of its root', 'root.key.json', () => undefined, /root\.key\.json.*ENOENT/],
    [
      'the key of another in the place of an intermediate',
      'intermediates/services.key.json',
      (other) => other('intermediates/services.key.json'),
      /key "services" is of public key/,
    ],
    ['no root', 'root.pem', () => undefined, /root\.pem.*ENOENT/],
    ['another root', 'root.pem', (other) => other('root.pem'), /state\.json says/],
    ['a hierarchy that is none', 'hierarchy.json', () => 'rubbish', /hierarchy\.json/],
    ['keys for JWT-SVIDs that are none', 'jwt.keys.json', () => '{"keys":[{}]}', /jwt\.keys\.json/],
    [
      'a key for JWT-SVIDs under the name of another',
      'jwt.keys.json',
      (other) => {
        const description = other('intermediates/services.key.json');
        return JSON.stringify({ keys: [{ kid: 'another', activeAt: 0, description }] });
      },
      /has a key for JWT-SVIDs as "another", its public key is/,
    ],
    [
      'the log key of another authority',
      'log.key.json',
      (other) => other('log.key.json'),
      /is of log .*the issuance log beside it is/,
    ],
  ];
  for (const [what, name, change, finds] of unfit) {
    it(`is refused with ${what}, before anything is made`, async () => {
      const elsewhere = join(directory, 'elsewhere');
      if (!existsSync(elsewhere)) await initAuthority({ data: elsewhere, ...shared });
      const from = join(directory, 'unfit');
      cpSync(join(directory, 'copy'), from, { recursive: true });
      const file = join(from, name);
      const now = change((other) => readFileSync(join(elsewhere, other), 'utf8'));
      rmSync(file, { force: true });
      if (now !== undefined) writeFileSync(file, now);
      const data = join(directory, 'never');
      await assert.rejects(restoreState({ from, data, ...shared, config: withJwt }), (thrown) => {
        assert.match((thrown as Error).message, finds);
        return (thrown as Error & { code?: string }).code === 'ERR_STATE_BACKUP';
      });
      assert.ok(!existsSync(data));
      rmSync(from, { recursive: true });
    });
  }

  it('has a finding in the status of a directory that cannot start', async () => {
    const [data, key] = [join(directory, 'again'), join(directory, 'again', 'root.key.json')];
    const findings = async () =>
      (await stateStatus({ data, ...shared, version: '0' })).findings?.map(({ detail }) => detail);
    assert.deepEqual(await findings(), []);
    renameSync(key, `${key}.away`);
    assert.match((await findings())?.join() ?? '', /cannot start: .*root\.key\.json/);
    renameSync(`${key}.away`, key);
  });

  it('has the rest of the status where the root or the hierarchy cannot be read', async () => {
    const data = join(directory, 'again');
    for (const name of ['root.pem', 'hierarchy.json']) {
      const file = join(data, name);
      const text = existsSync(file) ? readFileSync(file, 'utf8') : undefined;
      writeFileSync(file, 'rubbish');
      const status = await stateStatus({ data, ...shared, version: '0' });
      const details = status.findings?.map(({ detail }) => detail).join() ?? '';
      assert.match(details, new RegExp(`cannot start: .*${name.replace('.', '\\.')}`), name);
      assert.ok(status.ledger.issued > 0);
      assert.match(status.rootFingerprint, /^[0-9a-f]{64}$/);
      if (text === undefined) rmSync(file);
      else writeFileSync(file, text);
    }
  });

  it('overwrites nothing', async () => {
    const [data, out] = [join(directory, 'state'), join(directory, 'copy')];
    await assert.rejects(restoreState({ from: out, data, ...shared }), {
      code: 'ERR_STATE_EXISTS',
    });
  });
});
