import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { test } from 'node:test';
import { authorityYaml, lastLine } from './authority-files.ts';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';

test("the first token of Vault's API is made with a server and without, and is seen once", async (t) => {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  const vault = 'vault: { mounts: { pki: { intermediate: services } } }\n';
  await writeFile(file('ca.yaml'), `${authorityYaml()}${vault}`);
  const state = ['--data', file('state')];
  const run = async (...words: string[]) => {
    const ran = await countersign(words);
    assert.equal(ran.code, 0, ran.stderr);
    return ran.stdout.trim();
  };
  await run('init', '--config', file('ca.yaml'), ...state);
  const first = await run('vault', 'token', ...state);
  const long = await countersign(['vault', 'token', ...state, '--ttl', '999999h']);
  assert.equal(long.code, 2);
  assert.match(long.stderr, /--ttl: "999999h" is longer than "87840h"/);
  const nope = await countersign([
    'vault',
    'token',
    ...state,
    '--policy',
    'nope',
    '--ttl',
    '9000h',
  ]);
  assert.equal(nope.code, 0, nope.stderr);
  assert.match(nope.stderr, /warning: Policy "nope" does not exist\n/);
  assert.match(nope.stderr, /warning: TTL of "32400000s" exceeded the effective max_ttl/);
  const server = await startCountersign(t, [
    ...['ca', 'serve', '--config', file('ca.yaml'), ...state, '--port', '0'],
  ]);
  const made = JSON.parse(
    await run('vault', 'token', ...state, '--policy', 'web', '--ttl', '1h', '-o', 'json'),
  );
  assert.deepEqual(made.warnings, ['Policy "web" does not exist']);
  const beside = await countersign(['vault', 'token', ...state, '--config', file('other.yaml')]);
  assert.equal(beside.code, 0, beside.stderr);
  assert.match(beside.stderr, /warning: --config ".*other\.yaml" is not read: a server runs/);
  const ca = await readFile(file('state/root.pem'));
  const ask = (token: string, path: string): Promise<{ status: number; body: string }> =>
    new Promise((resolve, reject) => {
      const headers = { 'x-vault-token': token };
      const asked = request(`${server.urls[0]}/v1/${path}`, { headers, ca, agent: false });
      asked.on('error', reject);
      asked.on('response', async (answer) => {
        const parts: Buffer[] = [];
        for await (const part of answer) parts.push(part as Buffer);
        resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(parts).toString() });
      });
      asked.end();
    });
  const self = 'auth/token/lookup-self';
  const root = await ask(first, self);
  assert.deepEqual([root.status, JSON.parse(root.body).data.policies], [200, ['root']]);
  assert.equal((await ask(first, 'sys/mounts')).status, 200);
  const web = await ask(made.token, self);
  assert.deepEqual(JSON.parse(web.body).data.policies, ['default', 'web']);
  assert.ok(Date.parse(made.expiresAt) > Date.now());
  assert.equal((await ask(made.token, 'sys/mounts')).status, 403);
  assert.equal((await ask('hvs.x', self)).status, 403);
  assert.ok(!server.stderr().includes(first) && !server.stderr().includes(made.token));
  assert.equal((await server.end()).code, 0);

  await writeFile(file('none.yaml'), authorityYaml());
  const off = await countersign(['vault', 'token', ...state, '--config', file('none.yaml')]);
  assert.deepEqual([off.code, lastLine(off.stderr)], [2, 'ERR_VAULT_OFF']);
});
