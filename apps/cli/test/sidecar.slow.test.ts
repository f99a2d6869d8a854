import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import http, { type IncomingMessage } from 'node:http';
import net, { type AddressInfo } from 'node:net';
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
let app = 0;

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  await writeFile(file('ca.yaml'), authorityYaml());
  const config = ['--config', file('ca.yaml')];
  assert.equal((await countersign(['init', ...config, ...state()])).code, 0);
  authority = await startCountersign(t as never, [
    ...['ca', 'serve', ...config, ...state(), '--port', '0'],
  ]);
  stop.push(() => authority.kill('SIGKILL'));
  for (const name of ['shop', 'orders', 'stranger']) await issue(name);
  app = await startApp();
});
after(() => {
  for (const each of stop) each();
});

test('two plain programs talk over mTLS, a port is put on trial, and a revoked peer is cut', async (t) => {
  await writeFile(file('orders.yaml'), ordersYaml('PERMISSIVE'));
  await writeFile(file('peers.yaml'), peersYaml);
  const orders = await startSidecar(t, 'orders', 'orders.yaml', ['--data', file('o')]);
  const port = portOf(orders.urls[0]);
  await writeFile(file('shop.yaml'), shopYaml(port, 'orders'));
  const shop = await startSidecar(t, 'shop', 'shop.yaml');
  const way = portOf(shop.urls[0]);

  // 1. A plain call on one side is a plain call on the other, and mTLS between.
  const answered = await ask(way, '/orders/7');
  assert.equal(answered.status, 200, answered.body + shop.stderr());
  const told = JSON.parse(answered.body);
  assert.match(told['x-forwarded-client-cert'], /URI=spiffe:\/\/example\.com\/shop/);

  // 2. Who still comes in plaintext is known, and STRICT on trial rolls back when it refuses too many.
  assert.equal((await ask(port, '/health')).status, 200);
  const before = await readiness(1);
  assert.equal(before.mode, 'PERMISSIVE');
  assert.equal(before.plaintext, 1);
  assert.deepEqual(before.callers[0].names, [id('shop')]);
  const enforced = await countersign([
    ...['sidecar', 'enforce', '--data', file('o'), '--port', String(app), '--budget', '2'],
  ]);
  assert.equal(enforced.code, 0, enforced.stderr);
  assert.match(enforced.stdout, /STRICT by enforce.*\n.*\n.*\n {2}enforcement: watched, 0 refused/);
  for (let i = 0; i < 3; i += 1) await assert.rejects(ask(port, '/health'));
  assert.equal((await ask(port, '/health')).status, 200, 'rolled back');
  assert.match(orders.stderr(), /port is PERMISSIVE again: 3 connections/);
  const rolledBack = await readiness(1);
  assert.equal(rolledBack.enforcement.state, 'rolled-back');
  assert.equal((await ask(way, '/orders/7')).status, 200);

  // 3. A reload switches the port, and no request on a connection over mTLS is lost to it.
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  assert.equal((await ask(way, '/orders/1', agent)).status, 200);
  await writeFile(file('orders.yaml'), ordersYaml('STRICT'));
  orders.kill('SIGHUP');
  await until(() => orders.stderr().includes('"reloaded"'), 'not reloaded');
  assert.equal((await ask(way, '/orders/1', agent)).status, 200);
  await assert.rejects(ask(port, '/health'));
  assert.match(orders.stderr(), /plaintext to port \d+ .*takes mTLS alone/);
  assert.equal((await readiness(0)).mode, 'STRICT');

  // 4. The other end of an open connection is revoked: it is cut, and nothing goes through any more.
  const held = net.connect(way, '127.0.0.1');
  held.on('error', () => {});
  t.after(() => held.destroy());
  held.write('GET /wait HTTP/1.1\r\nhost: orders\r\n\r\n');
  await once(held, 'data');
  // Who is revoked cannot acknowledge it: its own sidecar closes by itself.
  const revoke = ['revoke', ...state(), '--spiffe-id', id('shop'), '--wait', '2s'];
  const revoked = await countersign(revoke);
  assert.match(revoked.stdout, /closed 1 connection on 1 gateway/);
  held.resume();
  await until(() => held.closed, 'not cut');
  const then = await ask(way, '/orders/7').catch(() => ({ status: 0 }));
  assert.notEqual(then.status, 200);
  assert.equal((await orders.end()).code, 0);
  assert.equal((await shop.end()).code, 0);

  const nobody = await countersign(['sidecar', 'readiness', '--data', file('o')]);
  assert.equal(nobody.code, 3);
  assert.equal(lastLine(nobody.stderr), 'ERR_SIDECAR_CONTROL');
});

test('an upstream that is somebody else gets nothing, and the file says what it means', async (t) => {
  await writeFile(file('wrong.yaml'), shopYaml(app, 'orders'));
  const { stdout, code } = await countersign(['check', file('wrong.yaml'), file('orders.yaml')]);
  assert.equal(code, 0, stdout);
  const schema = await countersign(['sidecar', 'schema']);
  assert.ok('inbound' in JSON.parse(schema.stdout).properties);
  await writeFile(
    file('odd.yaml'),
    shopYaml(app, 'orders').replace('127.0.0.1, port', '0.0.0.0, port'),
  );
  const odd = await countersign(['check', file('odd.yaml')]);
  assert.equal(odd.code, 1);
  assert.match(odd.stdout + odd.stderr, /reached by others, who would speak as this workload/);
  // The application itself, in plaintext, where a sidecar is expected.
  const stranger = await startSidecar(t, 'stranger', 'wrong.yaml');
  assert.equal((await ask(portOf(stranger.urls[0]), '/')).status, 502);
  assert.equal((await stranger.end()).code, 0);
});

async function startSidecar(
  t: Parameters<typeof startCountersign>[0],
  name: string,
  config: string,
  more: readonly string[] = [],
): Promise<Started> {
  return startCountersign(t, [
    ...['sidecar', '--config', file(config), '--identity', file(name)],
    ...['--ca', authority.urls[0] ?? '', ...more],
  ]);
}

function ordersYaml(mtls: string): string {
  return `sidecar: { namespace: prod, labels: { app: orders } }
mtls: ${mtls}
policies: [peers.yaml]
inbound:
  - { port: ${app}, listen: { address: 127.0.0.1, port: 0 } }
`;
}

const peersYaml = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: orders, namespace: prod }
spec:
  action: ALLOW
  rules:
    - from: [{ source: { principals: ["example.com/shop"] } }]
    - to: [{ operation: { paths: ["/health"] } }]
`;

function shopYaml(port: number, who: string): string {
  return `sidecar: { namespace: prod, labels: { app: shop } }
outbound:
  destinations:
    - name: orders
      upstream: 127.0.0.1:${port}
      spiffeId: ${id(who)}
      listen: { address: 127.0.0.1, port: 0 }
`;
}

async function readiness(code: number) {
  const ran = await countersign(['sidecar', 'readiness', '--data', file('o'), '-o', 'json']);
  assert.equal(ran.code, code, ran.stderr);
  const [port] = JSON.parse(ran.stdout);
  return port;
}

async function startApp(): Promise<number> {
  const server = http.createServer((request, response) => {
    if (request.url === '/wait') return void response.write('waiting');
    response.end(JSON.stringify(request.headers));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stop.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function ask(port: number, path: string, agent: http.Agent | false = false) {
  const sent = http.request({ host: '127.0.0.1', port, path, agent });
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let body = '';
  for await (const chunk of response) body += chunk;
  return { status: response.statusCode ?? 0, body };
}

async function issue(name: string): Promise<void> {
  const words = ['issue', ...state(), '--spiffe-id', id(name), '--out', file(name)];
  const { code, stderr } = await countersign(words);
  assert.equal(code, 0, stderr);
}

async function until(holds: () => boolean, otherwise: string): Promise<void> {
  for (let left = 300; !holds(); left -= 1) {
    if (left === 0) throw new Error(otherwise);
    await wait(100);
  }
}

function portOf(url = ''): number {
  return Number(new URL(url).port);
}
