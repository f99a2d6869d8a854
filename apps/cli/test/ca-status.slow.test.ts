import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { authorityYaml, id, lastLine } from './authority-files.ts';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';

test('ca status says what an authority holds, with a server and without, and exits with 1 where something wants a look', async (t) => {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  const state = file('state');
  const config = file('ca.yaml');
  const publish =
    'publish: { url: "http://pki.example.com" }\nledger: { retention: { keep: 720h } }\n' +
    `api: { admins: [${id('me')}] }\n`;
  await writeFile(config, `${authorityYaml()}${publish}`);
  const made = await countersign(['init', '--config', config, '--data', state]);
  assert.equal(made.code, 0, made.stderr);
  const read = async (...words: string[]) => {
    const ran = await countersign(['ca', 'status', ...words, '-o', 'json']);
    assert.equal(ran.code, 0, ran.stderr + ran.stdout);
    return JSON.parse(ran.stdout);
  };

  // 1. nobody serves: the ledger and the files say it
  const alone = await read('--data', state);
  assert.equal(alone.trustDomain, 'example.com');
  assert.equal(alone.rootFingerprint, made.stdout.trim());
  assert.deepEqual(
    alone.certificates.map(({ name, signs }: { name: string; signs: boolean }) => [name, signs]),
    [
      ['root', true],
      ['services', true],
    ],
  );
  assert.equal(alone.uptimeMs, 0);
  assert.equal(alone.lists, undefined);

  // 2. it serves: lists, log and retention too, over the admin socket and over mTLS
  const server = await startCountersign(t, [
    ...['ca', 'serve', '--config', config, '--data', state, '--port', '0'],
    ...['--publish-port', '0', '--admin-port', '0'],
  ]);
  const [url = ''] = server.urls;
  const token = await countersign(['token', 'create', '--data', state, '--spiffe-id', id('me')]);
  const enrolled = await countersign([
    ...['enrol', '--ca', url, '--token', token.stdout.trim(), '--out', file('me')],
  ]);
  assert.equal(enrolled.code, 0, enrolled.stderr);
  const served = await read('--ca', url, '--identity', file('me'));
  assert.ok(served.ledger.position > alone.ledger.position);
  assert.ok(served.ledger.audit.seq >= served.ledger.position);
  assert.match(served.ledger.audit.hash, /^[0-9a-f]{64}$/);
  assert.ok(served.uptimeMs > 0);
  assert.deepEqual(served.findings, []);
  assert.equal(served.retention.enabled, true);
  const plain = ['issue', '--data', state, '--spiffe-id', id('plain'), '--out', file('plain')];
  assert.equal((await countersign(plain)).code, 0);
  const own = await countersign(['ca', 'status', '--ca', url, '--identity', file('plain')]);
  assert.equal(own.code, 0, own.stderr);
  assert.match(own.stdout, /^you {12}spiffe:\/\/example\.com\/plain .*; the authority is well$/m);
  assert.doesNotMatch(own.stdout, /^(findings|retention|list|keys) /m);
  assert.match(server.stderr(), /ca\.yaml says nothing under api\.gateways/);
  const operator = await read('--data', state);
  for (const { number, nextUpdate } of operator.lists) {
    assert.match(number, /^\d+$/);
    assert.ok(nextUpdate > Date.now());
  }
  const people = await countersign(['ca', 'status', '--data', state]);
  assert.match(people.stdout, /^trust domain {3}example\.com$/m);
  assert.match(people.stdout, /^certificate {4}services {2}expires in 6d/m);
  assert.match(people.stdout, /^retention {6}0 certificates.* no round yet$/m);
  assert.match(people.stdout, /^findings {7}none$/m);

  // 3. nobody there, and nothing to be asked about
  await server.end();
  const gone = await countersign(['ca', 'status', '--ca', url, '--identity', file('me')]);
  assert.equal(gone.code, 3, gone.stderr);
  const neither = await countersign(['ca', 'status']);
  assert.deepEqual([neither.code, lastLine(neither.stderr)], [2, 'ERR_USAGE']);
});

test('a tampered audit row, ledger row and log tile are each detected, by name', async (t) => {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  const state = file('state');
  await writeFile(file('ca.yaml'), authorityYaml());
  const run = async (...words: string[]) => {
    const ran = await countersign(words);
    assert.equal(ran.code, 0, `${words.join(' ')}: ${ran.stderr}`);
    return ran.stdout;
  };
  await run('init', '--config', file('ca.yaml'), '--data', state);
  for (const name of ['one', 'two']) {
    await run('issue', '--data', state, '--spiffe-id', id(name), '--out', file(name));
  }
  const tamper = (sql: string) => {
    const database = new DatabaseSync(join(state, 'ledger.db'));
    database.exec(sql);
    database.close();
  };
  const findings = async (...words: string[]) => {
    const ran = await countersign([...words, '-o', 'json']);
    assert.equal(ran.code, 1, ran.stderr);
    return JSON.parse(ran.stdout).findings as unknown[];
  };
  await run('audit', 'verify', '--data', state);
  await run('log', 'verify', '--data', state);

  // 1. a row of the trail: who asked for it
  tamper(`UPDATE audit SET said = '{"by":"somebody else"}' WHERE seq = 3`);
  const [row] = await findings('audit', 'verify', '--data', state);
  assert.match(String(row), /^audit row 3: changed/);
  tamper(`UPDATE audit SET said = (SELECT said FROM audit WHERE seq = 1) WHERE seq = 3`);

  // 2. a row of the ledger: for how long
  tamper('UPDATE intents SET not_after = not_after + 1 WHERE position = 1');
  assert.ok(
    (await findings('audit', 'verify', '--data', state)).some((finding) =>
      /^ledger record 1 \(intent of "01[0-9a-f]+"\): changed/.test(String(finding)),
    ),
  );

  // 3. a tile of the log
  const tiles = join(state, 'log', 'tile', '0');
  const [name = ''] = (await readdir(tiles)).filter((each) => each.startsWith('000'));
  const partial = join(tiles, name);
  const [width = ''] = await readdir(partial);
  await writeFile(join(partial, width), new Uint8Array(32 * Number(width)));
  const [tile] = (await findings('log', 'verify', '--data', state)) as { tile: string }[];
  assert.equal(tile?.tile, `tile/0/${name}/${width}`);
});
