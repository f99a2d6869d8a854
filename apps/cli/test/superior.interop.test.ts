import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { systemClock } from '@countersign/base';
import { type BaoServer, baoMissing, startBao } from '@countersign/testkit';
import { certificatesFromPem } from '@countersign/x509';
import { authorityYaml, id } from './authority-files.ts';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';

const skip = baoMissing();
const run = promisify(execFile);
let bao: BaoServer;
let vaultRoot = '';
before(async () => {
  if (skip !== false) return;
  bao = await startBao();
  await bao.ask('POST', 'sys/mounts/pki', { type: 'pki', config: { max_lease_ttl: '87600h' } });
  const made = await bao.ask('POST', 'pki/root/generate/internal', {
    ...{ common_name: 'Vault root', ttl: '87600h' },
  });
  vaultRoot = (made.data as { certificate: string }).certificate;
});
after(() => bao?.stop());

test('an authority below OpenBao issues what whoever trusts OpenBao alone accepts, as docs/subordinate.md has it', {
  skip,
}, async (t) => {
  const world = await authorityBelow(t, await documented());
  const { file, serve, enrol } = world;
  const server = await serve();
  await untilWell(server.urls[1] ?? '');
  const payments = await enrol(server.urls[0] ?? '', 'payments');
  await writeFile(file('vault-root.pem'), vaultRoot);
  for (const root of [file('vault-root.pem'), join(payments, 'bundle.pem')]) {
    const chain = ['-untrusted', join(payments, 'chain.pem'), join(payments, 'cert.pem')];
    const { stdout } = await run('openssl', ['verify', '-x509_strict', '-CAfile', root, ...chain]);
    assert.match(stdout, /: OK/);
  }
  const verified = await countersign([
    ...['verify', '--bundle', file('vault-root.pem'), join(payments, 'chain.pem')],
  ]);
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);

  // A start needs nobody: what OpenBao has certified is kept.
  assert.equal((await server.end()).code, 0);
  const yaml = await readFile(file('ca.yaml'), 'utf8');
  await writeFile(file('ca.yaml'), yaml.replace(bao.url, 'https://127.0.0.1:9'));
  const again = await serve();
  const later = await enrol(again.urls[0] ?? '', 'orders');
  const chain = ['-untrusted', join(later, 'chain.pem'), join(later, 'cert.pem')];
  const { stdout } = await run('openssl', ['verify', '-CAfile', file('vault-root.pem'), ...chain]);
  assert.match(stdout, /: OK/);
});

test('an authority that OpenBao does not certify says why, and serves as before', {
  skip,
}, async (t) => {
  const { file, serve, enrol } = await authorityBelow(t, await documented());
  await writeFile(file('vault.token'), 'no-such-token');
  const server = await serve();
  const health = await fetch(`${server.urls[1]}/healthz`);
  assert.equal(health.status, 503);
  assert.match(await health.text(), /not certified by Vault at/);
  await enrol(server.urls[0] ?? '', 'payments');
});

test('what OpenBao certifies for a minute is certified again in time, and again, and nobody is refused meanwhile', {
  skip,
  timeout: 300_000,
}, async (t) => {
  const short = (await documented()).replace(/validity: \w+/, 'validity: 90s');
  const { file, serve, enrol } = await authorityBelow(t, short);
  const server = await serve();
  await untilWell(server.urls[1] ?? '');
  await writeFile(file('vault-root.pem'), vaultRoot);
  const kept = async () => {
    const [own] = certificatesFromPem(await readFile(file('state/superior.pem'), 'utf8'));
    return own ?? assert.fail('superior.pem has none');
  };
  const seen = [await kept()];
  assert.ok((seen[0]?.notAfter ?? 0) < Date.now() + 91_000);
  for (let i = 0; seen.length < 3; i += 1) {
    assert.ok(i < 2000, 'it is not certified again');
    await systemClock.sleep(100);
    const now = await kept();
    if (now.serialHex !== seen.at(-1)?.serialHex) {
      assert.ok(Date.now() < (seen.at(-1)?.notAfter ?? 0), 'the one before had ended');
      seen.push(now);
    }
    const health = await fetch(`${server.urls[1]}/healthz`);
    assert.equal(health.status, 200, await health.text());
  }
  assert.ok(Date.now() < (seen[0]?.notAfter ?? 0) + 120_000);
  const late = await enrol(server.urls[0] ?? '', 'late');
  const behind = certificatesFromPem(await readFile(join(late, 'chain.pem'), 'utf8'));
  assert.ok(behind.some(({ serialHex }) => serialHex === seen.at(-1)?.serialHex));
  const chain = ['-untrusted', join(late, 'chain.pem'), join(late, 'cert.pem')];
  const { stdout } = await run('openssl', ['verify', '-CAfile', file('vault-root.pem'), ...chain]);
  assert.match(stdout, /: OK/);
});

/** The YAML of docs/subordinate.md for Vault. */
async function documented(): Promise<string> {
  const text = await readFile(new URL('../../../docs/subordinate.md', import.meta.url), 'utf8');
  const blocks = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml = '']) => yaml);
  return blocks.find((yaml) => yaml.includes('vault:')) ?? assert.fail('no YAML for Vault');
}

async function authorityBelow(t: TestContext, above: string) {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  const below = above
    .replace(/^ca:\n/, '')
    .replace('https://vault.internal:8200', bao.url)
    .replace('mount: pki_root', 'mount: pki');
  await writeFile(file('ca.yaml'), authorityYaml().replace(/^ca:\n/m, `ca:\n${below}`));
  await writeFile(file('vault.token'), bao.token);
  await writeFile(file('vault-root.pem'), vaultRoot);
  await copyFile(bao.caFile, file('vault-ca.pem'));
  const state = ['--data', file('state')];
  const config = ['--config', file('ca.yaml')];
  const made = await countersign(['init', ...config, ...state]);
  assert.equal(made.code, 0, made.stderr);
  return {
    file,
    serve: () =>
      startCountersign(
        t,
        ['ca', 'serve', ...config, ...state, '--port', '0', '--admin-port', '0'],
        { timeoutMs: 240_000 },
      ),
    async enrol(url: string, name: string) {
      const token = await countersign(['token', 'create', ...state, '--spiffe-id', id(name)]);
      const out = file(name);
      const words = ['--ca', url, '--token', token.stdout.trim(), '--out', out];
      const enrolled = await countersign(['enrol', ...words]);
      assert.equal(enrolled.code, 0, enrolled.stderr);
      return out;
    },
  };
}

async function untilWell(admin: string): Promise<void> {
  for (let i = 0; i < 300; i += 1) {
    if ((await fetch(`${admin}/healthz`)).ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(await (await fetch(`${admin}/healthz`)).text());
}
