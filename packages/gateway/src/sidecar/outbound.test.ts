import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import { networkInterfaces } from 'node:os';
import { type TestContext, test } from 'node:test';
import { credentialOf, idOf, mallory, startUpstream } from '../gateway-world.suite.ts';
import { wrongWithAddress } from './guard-destination.ts';
import { readAbsoluteTarget, readConnectTarget } from './proxy-target.ts';
import { parseSidecarConfig } from './sidecar-config.ts';
import {
  allOf,
  connectPlain,
  echoPlain,
  plainAsk,
  startApp,
  startSidecarOf,
  startTcpApp,
} from './sidecar-world.suite.ts';

const shop = credentialOf('shop');
const orders = credentialOf('ns/prod/sa/orders');
const local = { address: '127.0.0.1', port: 0 };

test('what an application asks in plaintext leaves over mTLS, by port and by proxy, to the expected peer alone', async (t) => {
  const app = await startApp(t, echoPlain);
  const { portOf: inboundOf } = await startSidecarOf(
    t,
    `inbound: [{ port: ${app}, listen: { address: 127.0.0.1, port: 0 } }]`,
    { as: orders },
  );
  const impostor = await startUpstream(t, (_, response) => response.end('a secret'), mallory);
  const id = idOf('ns/prod/sa/orders');
  const { portOf } = await startSidecarOf(
    t,
    `outbound:
  proxy: { port: 0 }
  destinations:
    - name: orders
      upstream: 127.0.0.1:${inboundOf(`inbound-${app}`)}
      spiffeId: ${id}
      hosts: [orders.test:8080, orders.test:80]
      listen: { port: 0 }
    - name: impostor
      upstream: 127.0.0.1:${new URL(impostor.url).port}
      spiffeId: ${id}
      hosts: [impostor.test:80]`,
    { as: shop },
  );
  const byPort = await plainAsk(portOf('outbound-orders'), '/by-port');
  assert.equal(byPort.status, 200, byPort.body);
  const told = JSON.parse(byPort.body);
  assert.equal(told.url, '/by-port');
  assert.match(told.headers['x-forwarded-client-cert'], /URI=spiffe:\/\/example\.test\/shop/);

  const proxy = portOf('proxy');
  const byProxy = await plainAsk(proxy, 'http://orders.test:8080/by-proxy?q=1', {
    headers: { host: 'somebody.else' },
  });
  assert.equal(byProxy.status, 200, byProxy.body);
  const { url, headers } = JSON.parse(byProxy.body);
  assert.deepEqual([url, headers.host], ['/by-proxy?q=1', 'orders.test:8080']);
  assert.equal((await plainAsk(proxy, 'http://ORDERS.test/usual-port')).status, 200);
  const refused = [
    ['http://impostor.test/', 502],
    ['http://elsewhere.test/', 403],
    [`http://127.0.0.1:${app}/`, 403],
    ['/orders', 400],
    ['http://orders.test:8080/../admin', 400],
    ['https://orders.test:8080/', 400],
  ] as const;
  for (const [target, status] of refused) {
    assert.equal((await plainAsk(proxy, target)).status, status, target);
  }

  const tunnel = connectPlain(t, proxy);
  tunnel.write('CONNECT orders.test:8080 HTTP/1.1\r\nhost: orders.test:8080\r\n\r\n');
  const [established] = await once(tunnel, 'data');
  assert.match(String(established), /^HTTP\/1\.1 200 /);
  tunnel.write('GET /tunnelled HTTP/1.1\r\nhost: orders.test\r\nconnection: close\r\n\r\n');
  assert.match(await allOf(tunnel), /"url":"\/tunnelled"/);
  for (const [target, status] of [
    ['impostor.test:80', 502],
    ['elsewhere.test:443', 403],
    [`localhost:${app}`, 403],
    ['orders.test', 400],
  ] as const) {
    assert.equal(await connectStatus(t, proxy, target), status, target);
  }
});

test('a raw connection of the application keeps its halves on the way through two sidecars', async (t) => {
  const app = await startTcpApp(t, (socket) => {
    let heard = 0;
    socket.on('data', (chunk) => {
      heard += (chunk as Buffer).byteLength;
    });
    socket.on('end', () => socket.end(`heard ${heard}`));
  });
  const { portOf: inboundOf } = await startSidecarOf(
    t,
    `inbound: [{ port: ${app.port}, protocol: tcp, listen: { address: 127.0.0.1, port: 0 } }]`,
    { as: orders },
  );
  const { portOf, revocation, sidecar } = await startSidecarOf(
    t,
    `outbound:
  destinations:
    - name: database
      protocol: tcp
      upstream: 127.0.0.1:${inboundOf(`inbound-${app.port}`)}
      spiffeId: ${idOf('ns/prod/sa/orders')}
      listen: ${JSON.stringify(local)}`,
    { as: shop },
  );
  const socket = connectPlain(t, portOf('outbound-database'));
  socket.end('x'.repeat(500_000));
  assert.equal(await allOf(socket), 'heard 500000');
  // The other end's identity is revoked: what is open to it is cut, on the application's side too.
  const held = connectPlain(t, portOf('outbound-database'));
  held.write('x');
  const reached = () => app.sockets.size > 0 && sidecar.stats().upstreamConnections > 0;
  while (!reached()) await new Promise((resolve) => setImmediate(resolve));
  revocation.revoke(idOf('ns/prod/sa/orders'));
  revocation.notify();
  await allOf(held);
  assert.equal(sidecar.stats().upstreamConnections, 0);
});

test('in ALLOW_ANY the proxy passes on what is elsewhere, and never to this machine or link-local', async (t) => {
  const names: Record<string, string> = { 'metadata.test': '169.254.169.254', 'me.test': '::1' };
  const resolve = async (host: string) => ({ addresses: [names[host] ?? '127.0.0.1'] });
  const app = await startApp(t, echoPlain);
  const { portOf, sidecar } = await startSidecarOf(
    t,
    'admin: { port: 0 }\noutbound: { policy: ALLOW_ANY, proxy: { port: 0 } }',
    { as: shop, resolve },
  );
  const proxy = portOf('proxy');
  const admin = new URL(sidecar.adminUrl ?? '').port;
  const own = Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .map(({ address, family }) => (family === 'IPv6' ? `[${address}]` : address))
    .filter((address) => !address.includes('%') && !address.startsWith('[fe80'));
  for (const host of ['127.0.0.1', '127.1.2.3', '0.0.0.0', '[::1]', '[::ffff:127.0.0.1]', ...own]) {
    assert.equal((await plainAsk(proxy, `http://${host}:${admin}/status`)).status, 403, host);
    assert.equal(await connectStatus(t, proxy, `${host}:${admin}`), 403, host);
  }
  for (const host of ['metadata.test', 'me.test', 'localhost', 'some.name.test']) {
    assert.equal((await plainAsk(proxy, `http://${host}:${app}/`)).status, 403, host);
  }
  const nothing = new Set<string>();
  for (const address of ['10.0.0.1', '203.0.113.9', '2001:db8::1']) {
    assert.equal(wrongWithAddress(address, nothing), undefined, address);
    assert.notEqual(wrongWithAddress(address, new Set([address])), undefined, address);
  }
  for (const address of ['169.254.1.1', 'fe80::1', '64:ff9b::7f00:1', '::7f00:1', 'name', '']) {
    assert.notEqual(wrongWithAddress(address, nothing), undefined, address);
  }
});

test('targets of a proxy are read in one way or not at all', () => {
  const read = readAbsoluteTarget('http://[2001:DB8::1]:8080?x');
  assert.deepEqual(read.ok && [read.host, read.port, read.target], ['2001:db8::1', 8080, '/?x']);
  for (const text of [
    'http://a@b/',
    'http://a:0/',
    'http://a:99999/',
    'http:///',
    'ftp://a/',
    '*',
  ]) {
    assert.equal(readAbsoluteTarget(text).ok, false, text);
  }
  for (const text of ['a', 'a:', 'a:0', 'http://a:1', 'a:1/x', '[::1:1']) {
    assert.equal(readConnectTarget(text).ok, false, text);
  }
});

test('a way out is for this machine alone, and a file that would open it to others is refused', () => {
  const self = 'sidecar: { namespace: prod }';
  for (const [yaml, message] of [
    ['outbound: { proxy: { address: 0.0.0.0, port: 1 } }', /reached by others/],
    ['outbound: {}', /nothing to do/],
    ['inbound: [{ port: 80, listen: { port: 80 } }]', /where the application listens/],
    ['inbound: [{ port: 80, lisen: { port: 8 } }]', /nearest valid key is "listen"/],
  ] as const) {
    assert.throws(() => parseSidecarConfig(`${self}\n${yaml}`, 'sidecar.yaml'), message);
  }
});

async function connectStatus(t: TestContext, port: number, target: string): Promise<number> {
  const sent = http.request({ host: '127.0.0.1', port, method: 'CONNECT', path: target });
  t.after(() => sent.destroy());
  sent.end();
  const [answer] = (await once(sent, 'connect')) as [IncomingMessage];
  answer.socket.destroy();
  return answer.statusCode ?? 0;
}
