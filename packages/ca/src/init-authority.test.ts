import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { inspect } from 'node:util';
import { noLog, noMeter, Secret, systemClock } from '@countersign/base';
import { certificatesFromPem, fingerprintOf, validatePath } from '@countersign/x509';
import {
  exampleYaml,
  issuedOf,
  type LogLine,
  payments,
  recordingLog,
  request,
} from '../test/authority-under-test.ts';
import {
  type CaConfig,
  initAuthority,
  memoryLedger,
  openAuthority,
  openSqliteLedger,
  parseCaConfig,
  readStateManifest,
} from './index.ts';

const example = parseCaConfig(exampleYaml, 'ca.yaml');

describe('a data directory', () => {
  let home: string;
  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'countersign-ca-'));
  });
  after(() => rm(home, { recursive: true }));

  let count = 0;
  function fresh(): string {
    count += 1;
    return join(home, `state-${count}`);
  }
  const init = (data: string, more: object = {}) =>
    initAuthority({ config: example, data, clock: systemClock, log: noLog, ...more });
  const open = (data: string, more: object = {}) =>
    openAuthority({
      config: example,
      data,
      clock: systemClock,
      log: noLog,
      meter: noMeter,
      ...more,
    });
  async function modeOf(path: string): Promise<string> {
    return ((await stat(path)).mode & 0o777).toString(8);
  }

  it('holds after init all that its layout says, keys for their owner alone', async () => {
    const data = fresh();
    const made = await init(data);
    assert.deepEqual((await readdir(data)).sort(), [
      'intermediates',
      'ledger.db',
      'log.key.json',
      'root.key.json',
      'root.pem',
      'state.json',
      'unseal.key',
    ]);
    assert.equal(made.keyFile, join(data, 'unseal.key'));
    for (const file of [
      'unseal.key',
      'root.key.json',
      'log.key.json',
      'intermediates/production.key.json',
      'ledger.db',
    ]) {
      assert.equal(await modeOf(join(data, file)), '600', file);
    }
    assert.equal(await modeOf(data), '700');
    const [root] = certificatesFromPem(await readFile(join(data, 'root.pem')));
    const [production] = certificatesFromPem(
      await readFile(join(data, 'intermediates/production.pem')),
    );
    assert.equal(fingerprintOf(root!), made.rootFingerprint);
    assert.match(made.rootFingerprint, /^[0-9a-f]{64}$/);
    assert.ok(
      validatePath({ leaf: production!, intermediates: [], anchors: [root!], at: Date.now() }).ok,
    );
    for (const file of await readdir(data, { recursive: true, withFileTypes: true })) {
      if (!file.isFile() || file.name === 'unseal.key') continue;
      const content = await readFile(join(file.parentPath, file.name), 'latin1');
      assert.doesNotMatch(content, /PRIVATE KEY/, file.name);
    }
  });

  it('issues once it is opened, and again after it was closed, with higher positions', async () => {
    const data = fresh();
    await init(data);
    const first = await open(data);
    const one = issuedOf(await first.issue({ csr: await request(), spiffeId: payments }));
    await first.close();
    const second = await open(data);
    const two = issuedOf(await second.issue({ csr: await request(), spiffeId: payments }));
    assert.ok(two.position > one.position);
    assert.ok((await second.ledger.certificate(one.serialHex)) !== undefined);
    await second.close();
  });

  it('has its own hierarchy in the ledger: nothing was signed without an intent', async () => {
    const data = fresh();
    await init(data);
    const authority = await open(data);
    for (const serial of [authority.root.serialHex]) {
      assert.equal((await authority.ledger.certificate(serial))?.provisioner, 'init');
    }
    assert.equal((await authority.ledger.status()).issued, 3);
    await authority.close();
  });

  it('is taken where it is empty, and refused where it holds anything, which stays as it was', async () => {
    const empty = fresh();
    await mkdir(empty);
    await init(empty);
    const before = await readFile(join(empty, 'root.pem'));
    await assert.rejects(init(empty), {
      code: 'ERR_STATE_EXISTS',
      message: /it holds an authority$/,
    });
    assert.deepEqual(await readFile(join(empty, 'root.pem')), before);

    const other = fresh();
    await mkdir(other);
    await writeFile(join(other, 'notes.txt'), 'mine');
    await assert.rejects(init(other), {
      code: 'ERR_STATE_EXISTS',
      message: /it holds "notes\.txt"$/,
    });
    assert.deepEqual(await readdir(other), ['notes.txt']);
  });

  it('is not there at all when init fails half way', async () => {
    const data = fresh();
    const broken: CaConfig = {
      ...example,
      root: { ...example.root, key: { type: 'RSA', bits: 512 } },
    };
    await assert.rejects(init(data, { config: broken }));
    const emptied = fresh();
    await mkdir(emptied);
    await assert.rejects(init(emptied, { config: broken }));
    assert.deepEqual(await readdir(emptied), []);
    const elsewhere = join(home, 'elsewhere.key');
    await assert.rejects(init(data, { config: broken, keyFile: elsewhere }));
    const left = (await readdir(home)).filter(
      (name) => name.includes('init-') || name === 'elsewhere.key',
    );
    assert.deepEqual(left, []);
    await assert.rejects(stat(data), { code: 'ENOENT' });
  });

  it('cannot be where nobody may write, and says so', async () => {
    const file = join(home, 'a-file');
    await writeFile(file, '');
    await assert.rejects(init(join(file, 'state')), { code: 'ERR_FILE' });
    await assert.rejects(init(file), { code: 'ERR_FILE' });
  });

  it('opens with the passphrase of its init, and no other', async () => {
    const data = fresh();
    const made = await init(data, { passphrase: new Secret('correct horse') });
    assert.equal(made.keyFile, undefined);
    await assert.rejects(open(data), {
      code: 'ERR_KEY_SEALED',
      message: /sealed with a passphrase, none is given$/,
    });
    await assert.rejects(
      open(data, { passphrase: new Secret('wrong horse') }),
      (thrown: unknown) => {
        assert.match(String(thrown), /does not fit it$/);
        assert.doesNotMatch(inspect(thrown), /horse/);
        return true;
      },
    );
    await assert.rejects(init(fresh(), { passphrase: new Secret('') }), { code: 'ERR_KEY_SEALED' });
    await (await open(data, { passphrase: new Secret('correct horse') })).close();
  });

  it('opens with a key file that lives elsewhere, also when that was moved', async () => {
    const data = fresh();
    const keyFile = join(home, 'kept-apart.key');
    assert.equal((await init(data, { keyFile })).keyFile, keyFile);
    assert.ok(!(await readdir(data)).includes('unseal.key'));
    await assert.rejects(init(fresh(), { keyFile }), { code: 'ERR_STATE_EXISTS' });
    await (await open(data)).close();
    await rename(keyFile, `${keyFile}.moved`);
    await assert.rejects(open(data), { code: 'ERR_KEY_FILE' });
    await (await open(data, { keyFile: `${keyFile}.moved` })).close();
    await assert.rejects(open(data, { keyFile: `${keyFile}.moved`, passphrase: new Secret('x') }), {
      code: 'ERR_KEY_SEALED',
    });
  });

  it('is not opened where its files do not fit together', async () => {
    const [data, other] = [fresh(), fresh()];
    await init(data);
    await init(other);
    await assert.rejects(open(fresh()), { code: 'ERR_STATE_MISSING' });
    const swap = async (file: string, code: string, message: RegExp) => {
      const own = await readFile(join(data, file));
      await writeFile(join(data, file), await readFile(join(other, file)));
      await assert.rejects(open(data), (thrown: { code?: string }) => {
        assert.equal(thrown.code, code, String(thrown));
        assert.match(String(thrown), message);
        return true;
      });
      await writeFile(join(data, file), own);
    };
    await swap('root.pem', 'ERR_STATE_BROKEN', /has fingerprint/);
    await swap(
      'intermediates/production.pem',
      'ERR_STATE_BROKEN',
      /is of public key|does not lead to the root/,
    );
    await swap('intermediates/production.key.json', 'ERR_STATE_BROKEN', /is of public key/);
    await swap('root.key.json', 'ERR_STATE_BROKEN', /is of public key/);
    await swap('unseal.key', 'ERR_KEY_SEALED', /does not fit it/);
    await rename(join(data, 'intermediates/rest.pem'), join(data, 'intermediates/rest.gone'));
    await assert.rejects(open(data), { code: 'ERR_STATE_BROKEN' });
    await rename(join(data, 'intermediates/rest.gone'), join(data, 'intermediates/rest.pem'));
    await (await open(data)).close();
  });

  it('is not opened with a configuration of another hierarchy', async () => {
    const data = fresh();
    await init(data);
    const rows: readonly (readonly [string, string, RegExp])[] = [
      [
        'root: { algorithm: ECDSA, curve: P-256',
        'root: { algorithm: ECDSA, curve: P-384',
        /root key is configured as ECDSA P-384, the state has ECDSA P-256/,
      ],
      [
        'spiffe_trust_domain: example.com',
        'spiffe_trust_domain: example.org',
        /trust domain is configured as example\.org, the state has example\.com/,
      ],
      [
        'permitted: [".prod.internal"]',
        'permitted: [".prod.internal", ".lab.internal"]',
        /"production" permitted names is configured as "prod\.internal", "lab\.internal", the state has "prod\.internal"/,
      ],
      [
        '    rest: {',
        '    other: {',
        /intermediates is configured as "other", "production", the state has "production", "rest"/,
      ],
      [
        'pathLenConstraint: 1',
        'pathLenConstraint: 3',
        /root pathLenConstraint is configured as 3, the state has 1/,
      ],
    ];
    for (const [from, to, message] of rows) {
      const yaml = exampleYaml
        .replace(from, to)
        .replaceAll(
          'spiffe://example.com/',
          to.includes('example.org') ? 'spiffe://example.org/' : 'spiffe://example.com/',
        );
      await assert.rejects(
        open(data, { config: parseCaConfig(yaml, 'ca.yaml') }),
        (thrown: { code?: string }) => {
          assert.equal(thrown.code, 'ERR_STATE_CONFIG', String(thrown));
          assert.match(String(thrown), message);
          return true;
        },
      );
    }
    const policy = exampleYaml
      .replace('max_validity: "72h"', 'max_validity: "36h"')
      .replace('validity: "87600h"', 'validity: "90000h"');
    const lines: LogLine[] = [];
    const authority = await open(data, {
      config: parseCaConfig(policy, 'ca.yaml'),
      log: recordingLog(lines),
    });
    assert.ok(
      lines.some(
        ({ level, message }) =>
          level === 'warn' && message.startsWith('validity in the configuration'),
      ),
    );
    await authority.close();
  });

  it('has one authority at a time', async () => {
    const data = fresh();
    await init(data);
    const first = await open(data);
    await assert.rejects(open(data), { code: 'ERR_LEDGER_LOCKED' });
    await first.close();
    await (await open(data)).close();
  });

  it('closes and reports the orphans of a crash when it is opened', async () => {
    const data = fresh();
    await init(data);
    const ledger = await openSqliteLedger({
      file: join(data, 'ledger.db'),
      clock: systemClock,
      log: noLog,
    });
    await ledger.intend({
      grant: { kind: 'operator' },
      spiffeId: payments,
      names: [`uri:${payments}`],
      spkiHash: '00'.repeat(32),
      provisioner: 'operator',
      issuer: 'production',
      notAfter: Date.now() + 60_000,
    });
    await ledger.close();
    const lines: LogLine[] = [];
    const authority = await open(data, { log: recordingLog(lines) });
    assert.equal(authority.orphans, 1);
    assert.equal((await authority.ledger.openIntents()).length, 0);
    assert.ok(
      lines.some(
        ({ message, fields }) =>
          message === 'orphaned intent closed' && fields.spiffeId === payments,
      ),
    );
    await authority.close();
  });

  it('keeps the configuration that it was given, and says once what that leaves out', async () => {
    const data = fresh();
    const lines: LogLine[] = [];
    await init(data, { configText: exampleYaml, log: recordingLog(lines) });
    assert.equal(await readFile(join(data, 'ca.yaml'), 'utf8'), exampleYaml);
    const said = lines.filter(({ message }) =>
      /^keyEncipherment is left out .* \(RFC 8813\)$/.test(message),
    );
    assert.deepEqual(
      said.map(({ level }) => level),
      ['info'],
    );
  });

  it('says how its keys are sealed and whose it is', async () => {
    const data = fresh();
    const { rootFingerprint } = await init(data);
    const manifest = await readStateManifest(data);
    assert.equal(manifest.rootFingerprint, rootFingerprint);
    assert.equal(manifest.trustDomain, 'example.com');
    assert.deepEqual(manifest.seal, { kind: 'key-file', path: 'unseal.key' });
    await writeFile(join(data, 'state.json'), '{"format":"countersign-state","version":9}');
    await assert.rejects(open(data), { code: 'ERR_STATE_BROKEN', message: /version 9/ });
  });

  it('is made beside what is left of an init that was killed, which is named', async () => {
    const data = fresh();
    const left = join(home, `.${basename(data)}.init-0123456789ab`);
    await mkdir(left);
    const lines: LogLine[] = [];
    await init(data, { log: recordingLog(lines) });
    assert.ok(lines.some(({ message }) => message.startsWith(`"${left}" is left of an init`)));
  });

  it('is refused when its ledger is lost, empty, or of another authority', async () => {
    const [data, other] = [fresh(), fresh()];
    await init(data);
    await init(other);
    const file = join(data, 'ledger.db');
    await rm(file);
    for (const attempt of [1, 2]) {
      const message = /ledger ".*ledger\.db" is missing/;
      await assert.rejects(open(data), { code: 'ERR_STATE_BROKEN', message }, `${attempt}`);
    }
    await writeFile(file, '');
    await assert.rejects(open(data), { code: 'ERR_STATE_BROKEN', message: /is empty/ });
    await rename(join(other, 'ledger.db'), file);
    await assert.rejects(open(data), { code: 'ERR_STATE_BROKEN', message: /does not know serial/ });
    await rm(file);
    const fileOfNone = { file, create: true, clock: systemClock, log: noLog };
    await (await openSqliteLedger(fileOfNone)).close();
    await assert.rejects(open(data), { code: 'ERR_STATE_BROKEN', message: /does not know serial/ });
  });

  it('may be served over another ledger', async () => {
    const data = fresh();
    await init(data);
    const authority = await open(data, { ledger: memoryLedger({ clock: systemClock }) });
    issuedOf(await authority.issue({ csr: await request(), spiffeId: payments }));
    await authority.close();
  });
});
