import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { authorityYaml, id, lastLine } from './authority-files.ts';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';

async function authority(t: TestContext) {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  const state = file('state');
  await writeFile(file('ca.yaml'), authorityYaml());
  await writeFile(file('orders.jsonl'), `${JSON.stringify({ name: 'a', spiffeId: id('a') })}\n`);
  const made = await countersign(['init', '--config', file('ca.yaml'), '--data', state]);
  assert.equal(made.code, 0, made.stderr);
  const issued = async (): Promise<number> => {
    const status = await countersign(['ca', 'status', '--data', state, '-o', 'json']);
    return JSON.parse(status.stdout).ledger.issued;
  };
  return { directory, file, state, issued };
}

test('nothing is asked of the authority for a destination that takes nothing, whatever the verb', async (t) => {
  const { directory, file, state, issued } = await authority(t);
  const data = ['--data', state];
  const serve = ['ca', 'serve', '--config', file('ca.yaml'), ...data, '--port', '0'];
  const server = await startCountersign(t, serve, { timeoutMs: 600_000 });
  const ca = ['--ca', server.urls[0] ?? ''];
  const tokenFor = async (name: string) =>
    (await countersign(['token', 'create', ...data, '--spiffe-id', id(name)])).stdout.trim();
  const first = await tokenFor('shop');
  await writeFile(file('plain'), '');
  const before = await issued();
  const entries = await readdir(directory);

  for (const place of ['/proc/countersign', join(file('plain'), 'x')]) {
    const rows: readonly (readonly string[])[] = [
      ['issue', ...data, '--spiffe-id', id('a'), '--out', place],
      ['issue', ...data, '--batch', file('orders.jsonl'), '--out', place],
      ['enrol', ...ca, '--token', first, '--out', place],
      ['backup', ...data, '--out', join(place, 'b')],
      ['init', '--config', file('ca.yaml'), '--data', join(place, 's')],
      ['crl', ...data, '--issuer', 'services', '--out', join(place, 'list.crl')],
    ];
    for (const words of rows) {
      const said = `${words[0]} ${words[1]} to ${place}`;
      const ran = await countersign(words);
      assert.equal(ran.code, 2, `${said}: ${ran.stdout}${ran.stderr}`);
      assert.match(lastLine(ran.stderr), /^ERR_(DESTINATION|FILE)$/, said);
    }
  }
  assert.equal(await issued(), before);
  assert.deepEqual(await readdir(directory), entries);

  // The token was not spent, and a destination of another kind is refused as well.
  const list = ['crl', ...data, '--issuer', 'services', '--out'];
  const device = await countersign([...list, '/dev/null']);
  assert.match(device.stderr, /"\/dev\/null" is something else than a file/);
  const enrolled = await countersign(['enrol', ...ca, '--token', first, '--out', file('shop')]);
  assert.equal(enrolled.code, 0, enrolled.stderr);

  // Nor is one spent that is for another than whose identity is there; it does where that is meant, or for the same.
  const to = (secret: string, ...more: string[]) =>
    countersign(['enrol', ...ca, '--token', secret, '--out', file('shop'), ...more]);
  const same = await to(await tokenFor('shop'));
  assert.equal(same.code, 0, same.stderr);
  const second = await tokenFor('another');
  const refused = await to(second);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /it holds ".*shop", the token is for another/);
  assert.equal(lastLine(refused.stderr), 'ERR_DESTINATION');
  const replaced = await to(second, '--replace');
  assert.equal(replaced.code, 0, replaced.stderr);
  assert.match(replaced.stdout, /another/);
});

test('what was issued and cannot be written is told by its serial, and leaves nothing', async (t) => {
  const { file, state, issued } = await authority(t);
  const before = await issued();
  // So long that the key's file can be made and the last one, of a longer name, cannot.
  const parts = `${file('long')}/`;
  const long = parts + 'd/'.repeat(Math.floor((4040 - parts.length) / 2)).slice(0, -1);
  const out = long.padEnd(4040, 'x');
  const order = ['issue', '--data', state, '--spiffe-id', id('a'), '--out', out];
  const lost = await countersign(order);
  assert.equal(lost.code, 2, lost.stderr);
  assert.equal(lastLine(lost.stderr), 'ERR_IDENTITY_NOT_KEPT');
  const serial = /certificate (01[0-9a-f]{38}) was issued and is lost/.exec(lost.stderr)?.[1] ?? '';
  assert.match(lost.stderr, new RegExp(`hint: revoke it, .countersign revoke --serial ${serial}`));
  assert.equal(existsSync(file('long')), false);
  assert.equal(await issued(), before + 1);

  // The same of a line of a batch, and in a directory that was there.
  await mkdir(out.slice(0, -2), { recursive: true });
  const orders = ['issue', '--data', state, '--batch', file('orders.jsonl')];
  const some = await countersign([...orders, '--out', out.slice(0, -2), '-o', 'json']);
  assert.equal(some.code, 1, some.stderr);
  const told = JSON.parse(some.stdout);
  assert.deepEqual([told.ok, told.code], [false, 'ERR_IDENTITY_NOT_KEPT']);
  assert.match(told.serial, /^01[0-9a-f]{38}$/);
  assert.deepEqual(await readdir(out.slice(0, -2)), []);
  const revoked = await countersign(['revoke', '--data', state, '--serial', told.serial]);
  assert.equal(revoked.code, 0, revoked.stderr);
});
