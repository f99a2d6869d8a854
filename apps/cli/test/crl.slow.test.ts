import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { certificatesFromPem, crlsFromPem, parseCrl } from '@countersign/x509';
import { authorityYaml, id, lastLine } from './authority-files.ts';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';

const publish =
  '\npublish:\n  url: http://pki.example.com\n  port: 0\n  crl: { coalesce: 200ms }\n';
const sharded = publish.replace('200ms', '200ms, shards: 3, delta: 1h');

test('crl makes lists from the state, fetches what a server publishes, and numbers go on after kill -9', async (t) => {
  const directory = await temporaryDirectory(t as never);
  const file = (name: string) => join(directory, name);
  const state = file('state');
  await writeFile(file('ca.yaml'), authorityYaml() + publish);
  const run = async (...words: string[]) => {
    const { code, stdout, stderr } = await countersign(words);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  await run('init', '--config', file('ca.yaml'), '--data', state);
  await run('issue', '--data', state, '--spiffe-id', id('orders'), '--out', file('orders'));
  const [certificate] = certificatesFromPem(await readFile(file('orders/cert.pem'), 'utf8'));
  assert.ok(certificate);
  const [point] = certificate.crlDistributionPoints ?? [];
  const [name] = point?.fullName ?? [];
  assert.ok(name?.kind === 'uri' && name.value.startsWith('http://pki.example.com/crl/'));

  // no server: made and signed here, every issuer or one
  const made = JSON.parse(await run('crl', '--data', state, '-o', 'json'));
  assert.equal(made[0].issuer, 'root');
  assert.equal(made.length, 2);
  const issuer = made[1].issuer;
  const out = ['--issuer', issuer, '--out', file('list.pem')];
  await run('crl', '--data', state, ...out);
  const [first] = crlsFromPem(await readFile(file('list.pem'), 'utf8'));
  assert.equal(first?.entries.size, 0);

  // a server: what it publishes, also where a revocation came just now
  const serve = ['ca', 'serve', '--config', file('ca.yaml'), '--data', state, '--port', '0'];
  const server = await startCountersign(t as never, serve);
  const published = server.urls[1] ?? '';
  assert.match(published, /^http:\/\/127\.0\.0\.1:\d+$/);
  await run('revoke', '--data', state, '--spiffe-id', id('orders'), '--reason', 'superseded');
  await wait(500);
  const path = new URL(name.value).pathname;
  const served = parseCrl(new Uint8Array(await (await fetch(published + path)).arrayBuffer()));
  assert.equal(served.entries.get(certificate.serialHex)?.reason, 'superseded');
  await run('crl', '--data', state, '--issuer', issuer, '--out', file('list.crl'));
  assert.equal(parseCrl(await readFile(file('list.crl'))).crlNumber, served.crlNumber);
  const seen = JSON.parse(await run('crl', '--ca', published, '-o', 'json'));
  assert.deepEqual(
    seen.map((each: { entries: number }) => each.entries),
    [0, 1],
  );

  // killed: the next list is of a higher number, and made here again
  await server.kill('SIGKILL');
  await run('crl', '--data', state, '--issuer', issuer, '--out', file('after.crl'));
  const after = parseCrl(await readFile(file('after.crl')));
  assert.ok((after.crlNumber ?? 0n) > (served.crlNumber ?? 0n));
  assert.ok(after.entries.has(certificate.serialHex));

  const refused = await countersign(['crl', '--data', state, '--issuer', 'nobody']);
  assert.equal(refused.code, 2);
  assert.equal(lastLine(refused.stderr), 'ERR_PUBLISH_ISSUER');
  const both = await countersign(['crl', '--data', state, '--ca', published]);
  assert.equal(both.code, 2);
  assert.equal(lastLine(both.stderr), 'ERR_USAGE');
});

test('crl writes one part of a list, or the list about all, with a server and without', async (t) => {
  const directory = await temporaryDirectory(t as never);
  const file = (name: string) => join(directory, name);
  const data = ['--data', file('state')];
  await writeFile(file('ca.yaml'), authorityYaml() + sharded);
  const run = async (...words: string[]) => {
    const { code, stdout, stderr } = await countersign(words);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  await run('init', '--config', file('ca.yaml'), ...data);
  const [, { issuer }] = JSON.parse(await run('crl', ...data, '-o', 'json'));
  const one = [...data, '--issuer', issuer, '-o', 'json'];
  const written = async (...choice: string[]) => {
    const [told, more] = JSON.parse(await run('crl', ...one, ...choice, '--out', file('a.crl')));
    assert.equal(more, undefined);
    assert.equal(parseCrl(await readFile(file('a.crl'))).entries.size, 0);
    return String(told.url);
  };
  const slug = `http://pki\\.example\\.com/crl/${issuer}-[0-9a-f]{8}`;
  const part = new RegExp(`^${slug}/3/002\\.crl$`);
  const complete = new RegExp(`^${slug}\\.crl$`);
  assert.match(await written('--shard', '2'), part);
  assert.match(await written('--complete'), complete);
  const unserved = await countersign(['crl', ...one, '--delta']);
  assert.match(unserved.stderr, /deltas are made by a server alone/);
  const serve = ['ca', 'serve', '--config', file('ca.yaml'), ...data, '--port', '0'];
  const server = await startCountersign(t as never, serve);
  for (;;) {
    const lists = JSON.parse(await run('crl', ...one));
    if (lists.length === 6) break;
    await wait(200);
  }
  assert.match(await written('--shard', '2'), part);
  assert.match(await written('--complete'), complete);
  const refused = await countersign(['crl', ...one, '--out', file('b.crl')]);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /has 6 lists, --out holds one: --complete or --shard says which/);
  // deltas: all, or of one part; a server alone has them
  const deltas = JSON.parse(await run('crl', ...one, '--delta'));
  assert.deepEqual(
    deltas.map((each: { delta: boolean }) => each.delta),
    [true, true, true],
  );
  assert.match(await written('--delta', '--shard', '2'), new RegExp(`^${slug}/3/002-delta\\.crl$`));
  const twice = await countersign(['crl', ...one, '--delta', '--complete']);
  assert.match(twice.stderr, /either --complete, or --delta/);
  const beyond = await countersign(['crl', ...data, '--issuer', issuer, '--shard', '3']);
  assert.equal(lastLine(beyond.stderr), 'ERR_PUBLISH_ISSUER');
  server.kill('SIGTERM');
});
