import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { before, describe, test } from 'node:test';
import { parseGatewayConfig } from './gateway-config.ts';
import {
  alice,
  clientOf,
  credentialOf,
  idOf,
  startUpstream,
  startWorld,
  textOf,
} from './gateway-world.suite.ts';

/** An upstream that answers with what it saw, after what the test wants of it. */
async function scripted(t: Parameters<typeof startUpstream>[0], name: string) {
  const seen: { url: string; headers: IncomingMessage['headers']; body: string }[] = [];
  const script: ((response: ServerResponse, request: IncomingMessage) => boolean)[] = [];
  let told = (): void => {};
  const { url } = await startUpstream(
    t,
    async (request, response) => {
      const step = script.shift();
      if (step?.(response, request)) return;
      const body = await textOf(request);
      const { url: target = '', headers } = request;
      seen.push({ url: target, headers, body });
      told();
      response.setHeader('x-upstream', name);
      response.end(JSON.stringify({ name, url: target, headers, body }));
    },
    credentialOf(name),
  );
  const written = `url: "${url}", spiffeId: ${idOf(name)}`;
  const next = () => new Promise<void>((resolve) => (told = resolve));
  return { seen, script, url, next, upstream: `{ ${written} }`, written };
}

test('routes choose by path, host, method, header and query, the first that matches', async (t) => {
  const a = await scripted(t, 'a');
  const b = await scripted(t, 'b');
  const routes = `
  - { match: { path: /exact }, respond: { status: 201, body: exact } }
  - { match: { pathRegex: "/v[0-9]+/.*" }, respond: { status: 202 } }
  - { match: { pathPrefix: /PICKY, ignorePathCase: true, methods: [POST, PUT] }, respond: { status: 203 } }
  - { match: { headers: { x-canary: { prefix: ye } } }, respond: { status: 207 } }
  - { match: { headers: { x-must: { present: false } }, query: { mode: dry } }, respond: { status: 208 } }
  - { match: { host: "*.wild.test" }, respond: { status: 210 } }
  - { match: { host: a.one.test }, respond: { status: 211 } }
  - { match: { host: '*.one.test' }, respond: { status: 212 } }
  - { match: { pathPrefix: /moved }, redirect: { status: 308, host: new.test, path: /there } }
  - match: { pathPrefix: /api }
    upstream: ${b.upstream}
    rewrite: { path: /v2/, host: inner.test }
    requestHeaders: { set: { X-Team: blue }, add: { X-More: one }, remove: [x-secret] }
    responseHeaders: { set: { X-Edge: here }, remove: [x-upstream] }
  - { match: {}, upstream: ${a.upstream} }
`;
  const { gateway } = await startWorld(t, a.url, {
    config: parseGatewayConfig(`listen: { port: 0 }\nroutes:${routes}`, 'gateway.yaml'),
  });
  const { ask } = clientOf(t, gateway.url, alice);
  const statusOf = async (...args: Parameters<typeof ask>) => (await ask(...args)).status;
  assert.equal((await ask('/exact')).body, 'exact');
  assert.equal(await statusOf('/exactly'), 200);
  assert.equal(await statusOf('/v12/x'), 202);
  assert.equal(await statusOf('/x/v12/x'), 200);
  assert.equal(await statusOf('/picky/x', { method: 'POST' }), 203);
  assert.equal(await statusOf('/picky/x'), 200);
  assert.equal(await statusOf('/', { headers: { 'X-Canary': 'yes' } }), 207);
  assert.equal(await statusOf('/?a=1&mode=dry'), 208);
  assert.equal(await statusOf('/?a=1&mode=dry', { headers: { 'x-must': '1' } }), 200);
  assert.equal(await statusOf('/', { headers: { host: 'a.one.test' } }), 211);
  assert.equal(await statusOf('/', { headers: { host: 'b.a.one.test' } }), 212);
  // What has no host is asked of all of them, in its place.
  assert.equal((await ask('/exact', { headers: { host: 'a.one.test' } })).status, 201);
  assert.equal(await statusOf('/', { headers: { host: 'one.wild.test:1' } }), 210);
  assert.equal(await statusOf('/', { headers: { host: 'wild.test' } }), 200);
  const moved = await ask('/moved/x?q=1', { headers: { host: 'old.test:99' } });
  assert.equal(moved.status, 308);
  assert.equal(moved.headers.location, 'https://new.test/there?q=1');

  const api = await ask('/api/orders?x=1', { headers: { 'x-secret': 's', 'x-team': 'red' } });
  const told = JSON.parse(api.body);
  assert.equal(told.name, 'b');
  assert.equal(told.url, '/v2/orders?x=1');
  assert.equal(told.headers.host, 'inner.test');
  assert.equal(told.headers['x-team'], 'blue');
  assert.equal(told.headers['x-more'], 'one');
  assert.equal(told.headers['x-secret'], undefined);
  assert.equal(api.headers['x-edge'], 'here');
  assert.equal(api.headers['x-upstream'], undefined);
});

test('weights, copies and faults take the share that is written', async (t) => {
  const a = await scripted(t, 'a');
  const b = await scripted(t, 'b');
  let draw = 0;
  const yaml = `listen: { port: 0 }
routes:
  - match: { pathPrefix: /split }
    upstreams: [{ ${a.written}, weight: 90 }, { ${b.written}, weight: 10 }]
  - match: { pathPrefix: /copied }
    upstream: ${a.upstream}
    mirror: { ${b.written}, percent: 50 }
  - match: { pathPrefix: /faulty }
    upstream: ${a.upstream}
    fault: { delay: { time: 1ms }, abort: { status: 418, percent: 50 } }
`;
  const config = parseGatewayConfig(yaml, 'gateway.yaml');
  const { gateway } = await startWorld(t, a.url, { config, random: () => draw });
  const { ask } = clientOf(t, gateway.url, alice);
  draw = 0.89;
  assert.equal((await ask('/split')).headers['x-upstream'], 'a');
  draw = 0.91;
  assert.equal((await ask('/split')).headers['x-upstream'], 'b');

  const copied = b.next();
  draw = 0.4;
  assert.equal(
    (await ask('/copied?x=1', { method: 'POST', body: 'twice' })).headers['x-upstream'],
    'a',
  );
  await copied;
  const copy = b.seen.at(-1);
  assert.equal(copy?.body, 'twice');
  assert.equal(copy?.url, '/copied?x=1');
  assert.match(copy?.headers.host ?? '', /^127\.0\.0\.1-shadow:\d+$/);
  assert.match(String(copy?.headers['x-forwarded-client-cert']), /alice/);
  draw = 0.6;
  await ask('/copied', { method: 'POST', body: 'once' });
  assert.equal(b.seen.at(-1)?.body, 'twice');

  draw = 0.4;
  assert.equal((await ask('/faulty')).status, 418);
  draw = 0.6;
  assert.equal((await ask('/faulty')).status, 200);
});

describe('retries', () => {
  let closedPort = 0;
  before(async () => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closedPort = (server.address() as AddressInfo).port;
    await new Promise((resolve) => server.close(resolve));
  });

  test('send a request again as the route says, its body with it, and never more often', async (t) => {
    const a = await scripted(t, 'a');
    const yaml = `listen: { port: 0 }
routes:
  - match: { pathPrefix: /dead }
    upstream: { url: ["https://127.0.0.1:${closedPort}", "${a.url}"], spiffeId: ${idOf('a')} }
    retries: { attempts: 1 }
  - match: { pathPrefix: /late }
    upstream: ${a.upstream}
    timeout: 60ms
  - match: { pathPrefix: /hasty }
    upstream: ${a.upstream}
    retries: { attempts: 1, perTryTimeout: 60ms, on: [gateway-error] }
  - match: {}
    upstream: ${a.upstream}
    retries: { attempts: 2, on: [5xx], statuses: [404] }
`;
    const config = parseGatewayConfig(yaml, 'gateway.yaml');
    const { gateway } = await startWorld(t, a.url, { config });
    const { ask } = clientOf(t, gateway.url, alice);
    const answers = (status: number) => (response: ServerResponse) => {
      response.writeHead(status);
      response.end();
      return true;
    };
    const breaks = (response: ServerResponse) => {
      response.destroy();
      return true;
    };
    const stays = () => true;
    // Twice, so that it is the turn of the dead one in any order.
    assert.equal((await ask('/dead')).status, 200);
    assert.equal((await ask('/dead')).status, 200);

    a.script.push(
      (response, request) => {
        request.resume();
        request.once('end', () => answers(503)(response));
        return true;
      },
      (response, request) => {
        request.resume();
        request.once('end', () => answers(404)(response));
        return true;
      },
    );
    const again = await ask('/', { method: 'POST', body: 'kept' });
    assert.equal(again.status, 200);
    assert.equal(JSON.parse(again.body).body, 'kept');

    a.script.push(answers(500), breaks, answers(502));
    assert.equal((await ask('/')).status, 502);
    a.script.push(answers(400));
    assert.equal((await ask('/')).status, 400);

    a.script.push(stays);
    const late = await ask('/late');
    assert.equal(late.status, 504);
    assert.match(late.body, /ERR_UPSTREAM_TIMEOUT/);
    a.script.push(stays);
    assert.equal((await ask('/hasty')).status, 200);
    a.script.push(stays, stays);
    assert.equal((await ask('/hasty')).status, 504);
    assert.equal(a.script.length, 0);
  });
});

test('a rewrite whose result no rule would have been asked about is refused', async (t) => {
  const a = await scripted(t, 'a');
  const routes = `
  - { match: { path: /dots }, upstream: ${a.upstream}, rewrite: { path: /x/../admin } }
  - { match: { path: /plain }, upstream: ${a.upstream}, rewrite: { path: /x } }
`;
  const { gateway } = await startWorld(t, a.url, {
    config: parseGatewayConfig(`listen: { port: 0 }\nroutes:${routes}`, 'gateway.yaml'),
  });
  const { ask } = clientOf(t, gateway.url, alice);
  const refused = await ask('/dots');
  assert.equal(refused.status, 400);
  assert.match(refused.body, /ERR_GATEWAY_TARGET/);
  assert.equal((await ask('/plain?q=1')).status, 200);
  assert.deepEqual(
    a.seen.map(({ url }) => url),
    ['/x?q=1'],
  );
});

test('pages of other origins read what a route lets them, and preflights are answered here', async (t) => {
  const a = await scripted(t, 'a');
  const words = 'methods: [GET, PUT], headers: [x-a, x-b], expose: [x-upstream], maxAge: 2m';
  const cors = `cors: { origins: [{ suffix: .shop.test }], ${words}, credentials: true }`;
  const routes = `
  - { match: { pathPrefix: /here }, respond: { status: 200, body: ok }, ${cors} }
  - { match: {}, upstream: ${a.upstream}, ${cors} }
`;
  const { gateway } = await startWorld(t, a.url, {
    config: parseGatewayConfig(`listen: { port: 0 }\nroutes:${routes}`, 'gateway.yaml'),
  });
  const { ask } = clientOf(t, gateway.url, alice);
  const preflight = (origin: string) =>
    ask('/', { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'PUT' } });
  const asked = await preflight('https://www.shop.test');
  assert.equal(asked.status, 200);
  assert.equal(asked.headers['access-control-allow-origin'], 'https://www.shop.test');
  assert.equal(asked.headers['access-control-allow-methods'], 'GET,PUT');
  assert.equal(asked.headers['access-control-allow-headers'], 'x-a,x-b');
  assert.equal(asked.headers['access-control-max-age'], '120');
  assert.equal(asked.headers['access-control-allow-credentials'], 'true');
  assert.equal(a.seen.length, 0);
  const foreign = await preflight('https://www.other.test');
  assert.equal(foreign.headers['access-control-allow-origin'], undefined);
  assert.equal(a.seen.length, 1);
  for (const path of ['/', '/here']) {
    const { headers } = await ask(path, { headers: { origin: 'https://x.shop.test' } });
    assert.equal(headers['access-control-allow-origin'], 'https://x.shop.test');
    assert.equal(headers['access-control-expose-headers'], 'x-upstream');
    assert.match(String(headers.vary), /Origin/);
    const other = await ask(path, { headers: { origin: 'https://other.test' } });
    assert.equal(other.headers['access-control-allow-origin'], undefined);
  }
});

test('a fault that answers before a body was read ends the connection, so that nothing of it is a request', async (t) => {
  const a = await scripted(t, 'a');
  const yaml = `listen: { port: 0 }
routes: [{ match: {}, upstream: ${a.upstream}, fault: { abort: { status: 418 } } }]
`;
  const config = parseGatewayConfig(yaml, 'gateway.yaml');
  const { gateway } = await startWorld(t, a.url, { config });
  const { request } = clientOf(t, gateway.url, alice);
  const sent = request('/', { method: 'POST', headers: { 'content-length': '100' } });
  sent.on('error', () => {});
  sent.write('half');
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  assert.equal(response.statusCode, 418);
  assert.equal(response.headers.connection, 'close');
  sent.destroy();
  const long = yaml.replace('abort: { status: 418 }', 'delay: { time: 11m }');
  assert.throws(() => parseGatewayConfig(long, 'gateway.yaml'), /expected at most 10m/);
});
