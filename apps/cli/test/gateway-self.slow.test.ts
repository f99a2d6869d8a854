import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { authorityYaml, id, lastLine } from './authority-files.ts';
import { countersign, type Started, startCountersign, temporaryDirectory } from './countersign.ts';

let directory = '';
let authority: Started;
const stop: (() => void)[] = [];
const file = (name: string) => join(directory, name);
const state = () => ['--data', file('state')];

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  await writeFile(file('ca.yaml'), authorityYaml());
  await writeFile(file('gateway.yaml'), gatewayYaml);
  const config = ['--config', file('ca.yaml')];
  assert.equal((await countersign(['init', ...config, ...state()])).code, 0);
  authority = await startCountersign(t as never, [
    ...['ca', 'serve', ...config, ...state(), '--port', '0'],
  ]);
  stop.push(() => authority.kill('SIGKILL'));
  for (const name of ['shop', 'gateway']) await issue(name);
});
after(() => {
  for (const each of stop) each();
});

test('a gateway that is itself revoked refuses everybody, and serves again once it is enrolled anew', async (t) => {
  const gateway = await startCountersign(t, [
    ...['gateway', '--config', file('gateway.yaml'), '--identity', file('gateway')],
    ...['--ca', authority.urls[0] ?? '', '--port', '0', '--admin-port', '0'],
  ]);
  const healthz = async () => (await fetch(`${gateway.urls[1]}/healthz`)).status;
  assert.equal(await statusFor('shop', gateway), 404, 'no route, and let in');
  await countersign(['revoke', ...state(), '--spiffe-id', id('gateway'), '--wait', '2s']);
  await until(async () => (await healthz()) === 503, 'well after its revocation');
  assert.equal(await statusFor('shop', gateway), 503);
  assert.match(gateway.stderr(), /"level":"error".*own certificate is revoked.*enrol anew/);
  await issue('gateway');
  gateway.kill('SIGHUP');
  await until(async () => (await healthz()) === 200, 'unwell after it was enrolled anew');
  await until(async () => (await statusFor('shop', gateway)) === 404, 'nobody is let in again');
  assert.equal((await gateway.end()).code, 0);
});

test('a gateway with an expired identity does not start, and says what to do', async () => {
  await issue('late', '--ttl', '1s');
  await wait(2100);
  const words = ['--identity', file('late'), '--ca', authority.urls[0] ?? '', '--port', '0'];
  const ran = await countersign(['gateway', '--config', file('gateway.yaml'), ...words]);
  assert.equal(ran.code, 1, ran.stderr);
  assert.match(ran.stderr, /identity in ".*late" expired at .*\nhint: enrol again/);
  assert.equal(lastLine(ran.stderr), 'ERR_IDENTITY_EXPIRED');
});

test('a gateway that was stopped and finds no authority says that nobody is let in, and not that it serves', async (t) => {
  await issue('edge');
  const words = [
    ...['gateway', '--config', file('gateway.yaml'), '--identity', file('edge')],
    ...['--data', file('edge-data'), '--port', '0'],
  ];
  const first = await startCountersign(t, [...words, '--ca', authority.urls[0] ?? '']);
  await until(async () => first.stderr().includes('"gateway serves"'), 'does not say it serves');
  assert.equal((await first.end()).code, 0);
  const second = await startCountersign(t, [...words, '--ca', 'https://127.0.0.1:9']);
  assert.equal(await statusFor('shop', second), 403);
  const log = second.stderr();
  assert.match(log, /not current, as after a clean stop.*nobody is let in/);
  assert.match(log, /everybody is refused until it is/);
  assert.ok(log.split('"feed: ').length > 3, 'a line for each failure');
  assert.doesNotMatch(log, /"stack"|gateway serves|too long/);
  assert.equal((await second.end()).code, 0);
});

async function issue(name: string, ...more: string[]): Promise<void> {
  const words = ['issue', ...state(), '--spiffe-id', id(name), '--out', file(name), ...more];
  const { code, stderr } = await countersign(words);
  assert.equal(code, 0, stderr);
}

async function statusFor(name: string, gateway: Started): Promise<number> {
  const parts = ['key.pem', 'chain.pem', 'bundle.pem'].map((part) =>
    readFile(join(file(name), part)),
  );
  const [key, cert, ca] = await Promise.all(parts);
  const { hostname: host, port } = new URL(gateway.urls[0] ?? '');
  return new Promise((resolve, reject) => {
    // SPIFFE IDs rather than host names
    const trust = { key, cert, ca, checkServerIdentity: () => undefined };
    const asked = request({ ...trust, host, port, path: '/', agent: false }, (answer) => {
      answer.resume().on('end', () => resolve(answer.statusCode ?? 0));
    });
    asked.on('error', reject);
    asked.end();
  });
}

async function until(isSo: () => Promise<boolean>, otherwise: string): Promise<void> {
  for (let waited = 0; !(await isSo()); waited += 50) {
    assert.ok(waited < 15_000, `${otherwise}, for 15 s`);
    await wait(50);
  }
}

const gatewayYaml = `listen: { address: 127.0.0.1 }
routes:
  - match: { pathPrefix: /orders }
    upstream: { url: 'https://127.0.0.1:9', spiffeId: ${id('orders')} }
`;
