import assert from 'node:assert/strict';
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { authorityYaml, id, lastLine } from './authority-files.ts';
import { countersign, type Started, startCountersign, temporaryDirectory } from './countersign.ts';

let directory = '';
let state = '';
let root = '';
let server: Started;
const file = (name: string) => join(directory, name);
const url = () => server.urls[0]!;

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  state = file('state');
  await writeFile(file('ca.yaml'), authorityYaml());
  const made = await countersign(['init', '--config', file('ca.yaml'), '--data', state]);
  assert.equal(made.code, 0, made.stderr);
  root = made.stdout.trim();
  server = await serve(t as never);
});
after(() => server.kill('SIGKILL'));

function serve(t: Parameters<typeof startCountersign>[0]): Promise<Started> {
  const words = ['ca', 'serve', '--config', file('ca.yaml'), '--data', state, '--port', '0'];
  return startCountersign(t, words);
}

async function run(...words: string[]): Promise<string> {
  const ran = await countersign(words);
  assert.equal(ran.code, 0, `${words.join(' ')}: ${ran.stderr}`);
  return ran.stdout;
}

async function refused(code: string, exit: number, ...words: string[]) {
  const ran = await countersign(words);
  assert.deepEqual([ran.code, lastLine(ran.stderr)], [exit, code], ran.stderr);
  return ran;
}

const issue = (name: string, out: string, ...more: string[]) =>
  run('issue', '--data', state, '--spiffe-id', id(name), '--out', file(out), ...more);

test('an identity comes with its proof where that is wished, and the proof stands without the authority', async () => {
  const token = await run('token', 'create', '--data', state, '--spiffe-id', id('payments'));
  const enrol = ['enrol', '--ca', url(), '--token', token.trim(), '--out', file('payments')];
  await Promise.all([run(...enrol, '--log-proof'), issue('orders', 'orders', '--log-proof')]);
  await run('renew', '--ca', url(), '--identity', file('payments'), '--log-proof');
  const proofOf = (name: string) => [
    ...['--key', `@${file(`${name}/log.pub`)}`, '--proof', file(`${name}/proof.json`)],
  ];
  const tampered = (await readFile(file('orders/proof.json'), 'utf8')).replace(
    /("index": )(\d+)/,
    (_, before, index) => `${before}${Number(index) - 1}`,
  );
  await writeFile(file('tampered.json'), tampered);
  const [orders, payments] = [file('orders/cert.pem'), file('payments/cert.pem')];
  const told = await Promise.all([
    run('log', 'verify', ...proofOf('orders'), orders),
    run('log', 'verify', ...proofOf('payments'), payments),
  ]);
  for (const each of told) {
    assert.match(each, /^ok example\.com\/log\/[0-9a-f]{8}, \d+ entries, leaf \d+\n$/);
  }
  const key = proofOf('orders').slice(0, 2);
  await Promise.all([
    refused('ERR_LOG_PROOF', 1, 'log', 'verify', ...proofOf('orders'), payments),
    refused('ERR_LOG_PROOF', 1, 'log', 'verify', ...key, '--proof', file('tampered.json'), orders),
    refused('ERR_USAGE', 2, 'log', 'verify', ...proofOf('orders')),
    refused('ERR_USAGE', 2, 'log', 'verify', '--proof', file('orders/proof.json'), orders),
  ]);
});

test('proofs are made from the files and over the API, of certificates and of growth', async () => {
  const old = file('checkpoint.old');
  await copyFile(join(state, 'log/checkpoint'), old);
  await issue('reports', 'reports', '--log-proof');
  const key = `@${join(state, 'log/key')}`;
  const cert = file('reports/cert.pem');
  const ways = [
    ['--data', state],
    ['--ca', url(), '--fingerprint', root],
  ];
  for (const way of ways) {
    const [inclusion, growth] = await Promise.all([
      run('log', 'prove', ...way, cert),
      run('log', 'prove', ...way, '--from', old),
    ]);
    await Promise.all([writeFile(file('p.json'), inclusion), writeFile(file('g.json'), growth)]);
    const verify = ['log', 'verify', '--key', key, '--proof'];
    await refused('ERR_CLI_INPUT_KIND', 2, ...verify, cert, cert);
    await Promise.all([
      run(...verify, file('p.json'), '--checkpoint', join(state, 'log/checkpoint'), cert),
      run(...verify, file('g.json')),
      refused('ERR_LOG_PROOF', 1, ...verify, file('p.json'), '--checkpoint', old, cert),
    ]);
  }
  const words = ['log', 'show', '--identity', file('reports'), '--ca', url(), '--last', '2'];
  const shown = JSON.parse(await run(...words, '-o', 'json'));
  assert.ok(shown.entries[0].names.includes(`uri:${id('reports')}`));
  const bySerial = ['log', 'prove', '--data', state, '--serial'];
  const [found] = await Promise.all([
    run(...bySerial, shown.entries[0].serial),
    refused('ERR_LOG_ENTRY_UNKNOWN', 1, ...bySerial, '01ab'),
    refused('ERR_LOG_MISSING', 3, 'log', 'show', '--data', directory),
    refused('ERR_USAGE', 2, 'log', 'show', '--ca', url()),
    refused('ERR_LOG_KEY', 2, 'log', 'show', '--data', state, '--key', 'nonsense'),
  ]);
  assert.equal(JSON.parse(found).index, shown.entries[0].index);
});

test('a watch tells when somebody else is issued the name, and of nobody else', async () => {
  // Waits for its leaf: a watch that begins before it is in the log would meet it as a stranger's after the renewal.
  await issue('shop', 'shop', '--log-proof');
  const words = ['log', 'watch', '--identity', file('shop'), '--ca', url()];
  const once = [...words, '--state', file('shop.watch'), '--once'];
  assert.equal(await run(...once), '');
  await run('renew', '--identity', file('shop'), '--ca', url(), '--log-proof');
  assert.equal(await run(...once), '');
  await issue('shop', 'thief', '--log-proof');
  const told = await countersign(once);
  assert.equal(told.code, 1, told.stderr);
  assert.match(
    told.stdout,
    /^ERR_LOG_UNKNOWN_ISSUE spiffe:\/\/example\.com\/shop: serial [0-9a-f]+, /,
  );
  assert.equal(told.stdout.split('\n').length, 2);
  // Told once: the state stands behind it now.
  assert.equal(await run(...once), '');
  const json = await countersign([...words, '--once', '--all', '-o', 'json']);
  const alerts = json.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.ok(alerts.length >= 2 && alerts.every((each) => each.spiffeId === id('shop')));
  const known = alerts.flatMap(({ serial, key }, i) => ['--known', i === 0 ? serial : key]);
  assert.equal(await run(...words, '--once', '--all', ...known), '');
});

test('what somebody changed in the files is named, and the authority mends it from its ledger', async () => {
  const ended = await server.end();
  assert.equal(ended.code, 0);
  const verify = ['log', 'verify', '--data', state];
  assert.match(
    await run(...verify, '--checkpoint', file('checkpoint.old')),
    /1 earlier checkpoint/,
  );
  const size = Number((await readFile(join(state, 'log/checkpoint'), 'utf8')).split('\n')[1]);
  const change: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
    [`tile/0/000.p/${size}`]: flip,
    [`tile/entries/000.p/${size}`]: (bytes) => gzipSync(flip(gunzipSync(bytes))),
  };
  for (const [path, act] of Object.entries(change)) {
    const place = join(state, 'log', path);
    const sound = await readFile(place);
    await writeFile(place, act(sound));
    const ran = await refused('ERR_LOG_TAMPERED', 1, ...verify);
    assert.ok(ran.stderr.includes(`"${path}"`), ran.stderr);
    await writeFile(place, sound);
  }
  await rm(join(state, 'log/tile'), { recursive: true });
  const gone = await refused('ERR_LOG_TAMPERED', 1, ...verify);
  assert.match(gone.stderr, /is not there/);
  // Whoever opens the state makes it again, and only as it was signed.
  await issue('after', 'after', '--log-proof');
  await run(...verify, '--checkpoint', file('checkpoint.old'));
});

function flip(bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes);
  changed[changed.length - 1]! ^= 1;
  return changed;
}
