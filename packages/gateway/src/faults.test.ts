import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { test } from 'node:test';
import { testClock } from '@countersign/testkit';
import { parseGatewayConfig } from './gateway-config.ts';
import {
  alice,
  clientOf,
  credentialOf,
  idOf,
  startUpstream,
  startWorld,
} from './gateway-world.suite.ts';
import { h2ClientOf } from './protocol-world.suite.ts';
import { numberedUpstreams, until } from './upstream-world.suite.ts';

test('an upstream that dies within a response: the caller can tell, and its other requests go on', async (t) => {
  const open: ServerResponse[] = [];
  const { url } = await startUpstream(t, (request, response) => {
    if (request.url !== '/dies') return void response.end('well');
    response.writeHead(200, { 'content-length': '100' });
    response.write('half of it');
    open.push(response);
  });
  const { gateway } = await startWorld(t, url);
  const { request, ask } = clientOf(t, gateway.url, alice);
  const asked = request('/dies', { agent: false });
  asked.end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  assert.equal(response.statusCode, 200);
  const broken = once(response, 'error');
  response.resume();
  open.shift()?.destroy();
  assert.equal(((await broken)[0] as { code: string }).code, 'ECONNRESET');
  assert.equal((await ask('/')).body, 'well');

  const h2 = h2ClientOf(t, gateway.url, alice);
  const dying = h2.ask('/dies');
  await until(() => open.length === 1);
  const twin = await h2.ask('/');
  open.shift()?.destroy();
  assert.notEqual((await dying).rstCode, 0);
  assert.equal(twin.body, 'well');
  assert.equal((await h2.ask('/')).body, 'well');
});

test('DNS that vanishes: the addresses of before are used, and new ones once it is back', async (t) => {
  const { ports, asked } = await numberedUpstreams(t, 1);
  const clock = testClock(Date.now());
  let names: (() => readonly string[]) | undefined = () => ['127.0.0.1'];
  let looked = 0;
  const resolve = async () => {
    looked += 1;
    if (names === undefined)
      throw Object.assign(new Error('queryA ESERVFAIL'), { code: 'ESERVFAIL' });
    return { addresses: names() };
  };
  const yaml = `listen: { port: 0 }
routes:
  - match: {}
    upstream: { url: "http://localhost:${ports[0]}", dns: { refresh: 5s } }
`;
  const config = parseGatewayConfig(yaml, 'gateway.yaml');
  const { gateway } = await startWorld(t, 'https://unused.test', { config, clock, resolve });
  const { ask } = clientOf(t, gateway.url, alice);
  assert.equal((await ask('/')).status, 200);
  names = undefined;
  await clock.advance(60_000);
  assert.ok(looked > 10);
  assert.equal((await ask('/')).status, 200);
  // An answer without an address is an answer.
  names = () => [];
  await clock.advance(5000);
  const refused = await ask('/');
  assert.equal(refused.status, 503);
  assert.match(refused.body, /ERR_UPSTREAM_NO_ENDPOINT/);
  names = () => ['127.0.0.1'];
  await clock.advance(5000);
  assert.equal((await ask('/')).status, 200);
  assert.equal(asked[0], 3);
});

test('DNS that was never there: 503 until it is', async (t) => {
  const { ports } = await numberedUpstreams(t, 1);
  const clock = testClock(Date.now());
  let isThere = false;
  const resolve = async () => {
    if (!isThere) throw new Error('getaddrinfo ENOTFOUND');
    return { addresses: ['127.0.0.1'], ttlMs: 2000 };
  };
  const yaml = `listen: { port: 0 }
routes: [{ match: {}, upstream: { url: "http://localhost:${ports[0]}", dns: { ttl: true, refresh: 1s } } }]
`;
  const config = parseGatewayConfig(yaml, 'gateway.yaml');
  const { gateway } = await startWorld(t, 'https://unused.test', { config, clock, resolve });
  const { ask } = clientOf(t, gateway.url, alice);
  assert.equal((await ask('/')).status, 503);
  isThere = true;
  await clock.advance(1000);
  assert.equal((await ask('/')).status, 200);
});

test('a bad reload: nothing of it is in force, and nobody notices', async (t) => {
  const { ports } = await numberedUpstreams(t, 2);
  const yaml = (port: number | undefined, more = '') => `listen: { port: 0${more} }
routes: [{ match: {}, upstream: { url: "http://127.0.0.1:${port}" } }]
`;
  const config = parseGatewayConfig(yaml(ports[0]), 'gateway.yaml');
  const { gateway } = await startWorld(t, 'https://unused.test', { config });
  const { ask } = clientOf(t, gateway.url, alice);
  assert.equal((await ask('/')).body, '0');
  assert.throws(() =>
    parseGatewayConfig(yaml(ports[1]).replace('upstream', 'upstraem'), 'gateway.yaml'),
  );
  const other = parseGatewayConfig(yaml(ports[1], ', clientAuth: request'), 'gateway.yaml');
  assert.throws(() => gateway.reload({ config: other }), { code: 'ERR_GATEWAY_RESTART' });
  assert.equal((await ask('/')).body, '0');
  gateway.reload({ config: parseGatewayConfig(yaml(ports[1]), 'gateway.yaml') });
  assert.equal((await ask('/')).body, '1');
});

test('an authority that is away for hours: callers are let in until nobody knows who is revoked, then 403', async (t) => {
  const { url } = await startUpstream(t, (_request, response) => response.end());
  const { gateway, revocation } = await startWorld(t, url);
  const { ask } = clientOf(t, gateway.url, alice);
  assert.equal((await ask('/')).status, 200);
  // What the source answers when the feed was silent for longer than `revocation.maxSilence`.
  revocation.forget(idOf('alice'));
  gateway.recheck();
  const refused = await clientOf(t, gateway.url, alice).ask('/');
  assert.equal(refused.status, 403);
  assert.match(refused.body, /ERR_REVOCATION_UNKNOWN/);
  revocation.restore(idOf('alice'));
  assert.equal((await clientOf(t, gateway.url, alice).ask('/')).status, 200);
});

test('clocks that are five minutes apart: a certificate of before is taken, one that begins later is not yet', async (t) => {
  const { url } = await startUpstream(t, (_request, response) => response.end());
  const clock = testClock(Date.now() - 300_000);
  const { gateway } = await startWorld(t, url, { clock });
  const hour = 3_600_000;
  const long = { notBefore: Date.now() - hour, notAfter: Date.now() + hour };
  const { ask } = clientOf(t, gateway.url, credentialOf('alice', long));
  assert.equal((await ask('/')).status, 200);
  const early = { notBefore: Date.now() - 60_000, notAfter: Date.now() + hour };
  const refused = await clientOf(t, gateway.url, credentialOf('bob', early)).ask('/');
  assert.equal(refused.status, 403);
});
