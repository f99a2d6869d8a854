import assert from 'node:assert/strict';
import { generateKeyPairSync, hash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { noLog, systemClock } from '@countersign/base';
import { ConfigError } from '@countersign/config';
import { buildName, extension, keySigner, spkiOf } from '@countersign/x509';
import {
  exampleYaml,
  issuedOf,
  type LogLine,
  leafOf,
  payments,
  recordingLog,
  refused,
  request,
  testAuthority,
} from '../../test/authority-under-test.ts';
import { parseCaConfig } from '../index.ts';
import { KeyListFile } from './key-list-file.ts';

const orders = 'spiffe://example.com/ns/prod/sa/orders';
const anyKey = exampleYaml.replace(
  '  algorithm: ECDSA\n  curve: P-256\n  validity: "24h"',
  '  validity: "24h"',
);
const world = (requests: string, yaml = anyKey) =>
  testAuthority({ yaml: `${yaml}\nrequests: ${requests}\n` });

describe('requests', () => {
  let home: string;
  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'countersign-requests-'));
  });
  after(() => rm(home, { recursive: true }));

  it('with a key that is listed by the hash of it are refused', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const file = join(home, 'blocked.txt');
    const key = hash('sha256', spkiOf(publicKey).raw);
    await writeFile(file, `# found in an image\n${key.toUpperCase()}\n\n`);
    const authority = await world(`{ blocked_keys: ${file} }`);
    refused(
      await authority.issue({
        csr: await request({ signer: keySigner(privateKey) }),
        spiffeId: payments,
      }),
      'ERR_CSR_KEY_BLOCKED',
      new RegExp(`SHA-256 "${key}", is listed in "${file}"`),
    );
    issuedOf(await authority.issue({ csr: await request(), spiffeId: payments }));
  });

  it('with a key of the broken OpenSSL of Debian are refused', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const { n = '' } = publicKey.export({ format: 'jwk' });
    const modulus = Buffer.from(n, 'base64url').toString('hex').toUpperCase();
    const file = join(home, 'blacklist.RSA-2048');
    await writeFile(file, `# blacklist\n${hash('sha1', `Modulus=${modulus}\n`).slice(20)}\n`);
    const authority = await world(`{ debian_weak_keys: [${file}] }`);
    const csr = await request({ signer: keySigner(privateKey) });
    refused(
      await authority.issue({ csr, spiffeId: payments }),
      'ERR_CSR_KEY_WEAK',
      /CVE-2008-0166/,
    );
    const other = await request({ key: { type: 'RSA', bits: 2048 } });
    issuedOf(await authority.issue({ csr: other, spiffeId: payments }));
  });

  it('with a key that was certified for another identity are refused where the file says so', async () => {
    const signer = keySigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
    const ask = async (authority: Awaited<ReturnType<typeof world>>, spiffeId: string, dns = '') =>
      authority.issue({ csr: await request({ signer }), spiffeId, dns: dns === '' ? [] : [dns] });
    const strict = await world('{ reused_keys: refuse }');
    issuedOf(await ask(strict, payments));
    issuedOf(await ask(strict, payments, 'a.prod.internal'));
    refused(
      await ask(strict, orders),
      'ERR_CSR_KEY_REUSED',
      /was certified for "spiffe:.*payments", it is to be certified for "spiffe:.*orders"/,
    );
    const lax = await world('{}');
    issuedOf(await ask(lax, payments));
    issuedOf(await ask(lax, orders));
  });

  it('with a common name are held to what the file says of it', async () => {
    const named = async (value: string) => request({ subject: buildName([{ type: 'CN', value }]) });
    const ask = async (rule: string, value: string) =>
      (await world(`{ common_name: ${rule} }`)).issue({
        csr: await named(value),
        spiffeId: payments,
        dns: ['a.prod.internal'],
      });
    issuedOf(await ask('ignore', 'admin'));
    issuedOf(await ask('match', 'A.prod.internal'));
    refused(
      await ask('match', 'admin'),
      'ERR_CSR_COMMON_NAME',
      /"admin", the order does not grant/,
    );
    refused(await ask('refuse', 'a.prod.internal'), 'ERR_CSR_COMMON_NAME', /common_name is refuse/);
  });

  it('may ask for other extensions where the file ignores them, and get none', async () => {
    const authority = await world('{ other_extensions: ignore }');
    const other = extension.other('1.2.3.4', true, new Uint8Array([5, 0]));
    const csr = await request({ extensions: [other] });
    const leaf = leafOf(await authority.issue({ csr, spiffeId: payments }));
    assert.ok(!leaf.extensions.some(({ oid }) => oid === '1.2.3.4'));
  });

  it('are judged by lists that are there when the authority opens, or it does not open', async () => {
    await assert.rejects(world(`{ blocked_keys: ${join(home, 'none')} }`), {
      code: 'ERR_POLICY_KEY_LIST',
      message: /ENOENT/,
    });
    const file = join(home, 'malformed.txt');
    await writeFile(file, '# keys\n0123\n');
    await assert.rejects(world(`{ blocked_keys: ${file} }`), {
      code: 'ERR_POLICY_KEY_LIST',
      message:
        /malformed\.txt", line 2: expected a SHA-256 in 64 hexadecimal digits, found "0123"$/,
    });
    assert.throws(
      () => parseCaConfig(`${exampleYaml}\nrequests: { blocked_keys: keys.txt }\n`, 'ca.yaml'),
      (thrown: unknown) =>
        thrown instanceof ConfigError &&
        /requests\.blocked_keys: expected an absolute path/.test(thrown.message),
    );
  });
});

describe('a list of keys', () => {
  it('is read again when it changed, and kept when it broke', async () => {
    const home = await mkdtemp(join(tmpdir(), 'countersign-keys-'));
    const file = join(home, 'keys.txt');
    const [one, two] = ['1'.repeat(64), '2'.repeat(64)];
    await writeFile(file, `${one}\n`);
    let now = 0;
    const clock = { ...systemClock, monotonic: () => now };
    const lines: LogLine[] = [];
    const list = await KeyListFile.open({ form: 'spki', file }, clock, recordingLog(lines));
    assert.deepEqual([await list.has(one), await list.has(two)], [true, false]);
    await sleep(10);
    await writeFile(file, `${two}\n# changed\n`);
    assert.deepEqual([await list.has(one), await list.has(two)], [true, false]);
    now = 1000;
    assert.deepEqual([await list.has(one), await list.has(two)], [false, true]);
    await writeFile(file, 'no list\n');
    now = 2000;
    assert.equal(await list.has(two), true);
    await rm(file);
    now = 3000;
    assert.equal(await list.has(two), true);
    now = 4000;
    assert.equal(await list.has(two), true);
    assert.equal(lines.filter(({ level }) => level === 'error').length, 2);
    await rm(home, { recursive: true });
    await assert.rejects(KeyListFile.open({ form: 'spki', file }, clock, noLog));
  });
});
