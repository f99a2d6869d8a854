import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { certificatesFromPem } from '@countersign/x509';
import { authorityYaml, id, lastLine } from './authority-files.ts';
import { startCountersign, temporaryDirectory } from './countersign.ts';
import { countersign } from './in-process.ts';

test('a batch of orders is issued by the state, by its server, and to a registrar; refusals stand in their lines', async (t) => {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  const state = file('state');
  await writeFile(file('ca.yaml'), `${authorityYaml()}api: { registrars: [${id('agent')}] }\n`);
  assert.equal((await countersign(['init', '--config', file('ca.yaml'), '--data', state])).code, 0);
  const orders = [
    '# who, and what they are called',
    JSON.stringify({ name: 'web-1', spiffeId: id('web'), dns: ['web.prod.example.com'] }),
    JSON.stringify({ name: 'web-2', spiffeId: id('web'), ttl: '2h' }),
    '',
    JSON.stringify({ spiffeId: id('elsewhere'), dns: ['elsewhere.example.org'] }),
  ].join('\n');
  await writeFile(file('orders.jsonl'), orders);
  const read = (out: string, name: string) =>
    readFile(join(out, name)).then((pem) => certificatesFromPem(pem));

  // 1. by whoever holds the state, no server running
  const out = file('here');
  const here = await countersign([
    ...['issue', '--data', state, '--batch', file('orders.jsonl'), '--out', out],
    ...['-o', 'json'],
  ]);
  assert.equal(here.code, 1, here.stderr);
  const lines = here.stdout.trimEnd().split('\n');
  const [first, second, third] = lines.map((line) => JSON.parse(line));
  assert.deepEqual([first.ok, second.ok, third.ok], [true, true, false]);
  assert.deepEqual([third.name, third.code], ['5', 'ERR_POLICY_DNS']);
  assert.equal((await stat(join(out, 'web-1/key.pem'))).mode & 0o777, 0o600);
  assert.equal((await read(out, 'web-1/cert.pem'))[0]?.serialHex, first.serial);
  assert.equal(existsSync(join(out, '5')), false);
  const [leaf] = await read(out, 'web-2/cert.pem');
  assert.ok(leaf !== undefined && leaf.notAfter - leaf.notBefore > 2 * 3_600_000);

  // 2. over the admin socket, and as a registrar over the network
  const server = await startCountersign(t as never, [
    ...['ca', 'serve', '--config', file('ca.yaml'), '--data', state, '--port', '0'],
  ]);
  const agent = ['issue', '--data', state, '--spiffe-id', id('agent'), '--out', file('agent')];
  assert.equal((await countersign(agent)).code, 0);
  const input = `${orders.split('\n')[1]}\n`;
  const ca = server.urls[0] ?? '';
  const [served, remote, none] = await Promise.all([
    countersign(['issue', '--data', state, '--batch', '-', '--out', file('a')], { input }),
    countersign(
      [
        ...['issue', '--ca', ca, '--identity', file('agent'), '--batch', '-'],
        ...['--out', file('b')],
      ],
      { input },
    ),
    countersign(
      [
        ...['issue', '--ca', ca, '--identity', join(out, 'web-1'), '--batch', '-'],
        ...['--out', file('c')],
      ],
      { input },
    ),
  ]);
  assert.equal(served.code, 0, served.stderr);
  assert.equal(remote.code, 0, remote.stderr);
  assert.match(remote.stdout, /^web-1: until 20.*Z, serial 01[0-9a-f]{38}, in .*web-1\n$/);
  assert.equal((await read(file('b'), 'web-1/chain.pem')).length, 2);
  assert.equal(none.code, 1);
  assert.match(none.stdout, /^web-1: refused, ERR_API_FORBIDDEN: /);

  // 3. one order or many
  const both = ['--batch', file('orders.jsonl'), '--spiffe-id', id('web'), '--out', file('d')];
  const mixed = await countersign(['issue', '--data', state, ...both]);
  assert.equal(lastLine(mixed.stderr), 'ERR_USAGE');
  assert.equal(existsSync(file('d')), false);
});
