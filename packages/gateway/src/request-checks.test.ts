import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { after, before, test } from 'node:test';
import { alice, clientOf, echo, rawAsk, startUpstream, startWorld } from './gateway-world.suite.ts';
import type { Gateway } from './start-gateway.ts';

type Hook = Parameters<typeof startUpstream>[0];

let gateway: Gateway;
let reached: string[] = [];
const cleanups: (() => unknown)[] = [];
const hook = { after: (clean: () => unknown) => cleanups.push(clean) } as unknown as Hook;

before(async () => {
  const upstream = await startUpstream(hook, (request, response) => {
    reached.push(`${request.method} ${request.url}`);
    request.resume();
    request.on('end', () => echo(request, response));
  });
  const yaml = 'limits: { maxHeaderBytes: 4096, headersTimeout: 1s, maxBodyBytes: 1000 }';
  ({ gateway } = await startWorld(hook, upstream.url, { yaml }));
});

after(async () => {
  for (const clean of cleanups.reverse()) await clean();
});

test('requests that can be read in two ways are refused, and reach nobody', async () => {
  const cases: readonly (readonly [name: string, head: string, status: number])[] = [
    [
      'both framings',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    [
      'two lengths',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello',
      400,
    ],
    [
      'the same length twice',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello',
      400,
    ],
    ['a length list', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello', 400],
    [
      'another coding',
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    [
      'chunked by two names',
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    [
      'a space before the colon',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello',
      400,
    ],
    ['an obsolete fold', 'GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n', 400],
    ['bare line feeds', 'GET / HTTP/1.1\nHost: a\n\n', 400],
    ['no host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['two hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
    ['a host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
    ['an absolute target', 'GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['a dot segment', 'GET /x/../admin HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['an encoded dot segment', 'GET /x/%2e%2E/admin HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['HTTP/1.0', 'GET / HTTP/1.0\r\nHost: a\r\n\r\n', 400],
    ['HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['no HTTP at all', '\x16\x03\x01\x00\x01\x00\r\n\r\n', 400],
    ['a large head', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(5000)}\r\n\r\n`, 431],
    [
      'an upgrade',
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
      501,
    ],
    ['a tunnel', 'CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n', 501],
    ['another expectation', 'GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n', 417],
    [
      'an announced body above the limit',
      'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n',
      413,
    ],
  ];
  for (const [name, head, status] of cases) {
    reached = [];
    const smuggled = `${head}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`;
    const answer = await rawAsk(gateway.port, alice, smuggled);
    assert.equal(answer.split(' ')[1], String(status), `${name}: ${answer.slice(0, 200)}`);
    if (status !== 417) assert.deepEqual(reached, [], name);
    if (status !== 417)
      assert.equal(answer.match(/HTTP\/1\.1 \d/g)?.length, 1, `${name}: one answer`);
  }
});

test('a denied path cannot be spelt otherwise', async (t) => {
  const { ask } = clientOf(t, gateway.url, alice);
  reached = [];
  for (const path of [
    '/admin',
    '/%61dmin',
    '/admin/x',
    '/admin%2Fx',
    '/admin?x=1',
    '/ADMIN/..;/',
  ]) {
    const { status } = await ask(path);
    assert.ok(status === 403 || status === 400, `${path}: ${status}`);
  }
  assert.deepEqual(reached, []);
});

test('an upstream gets the path that the rules were asked about', async (t) => {
  const { ask } = clientOf(t, gateway.url, alice);
  const { body } = await ask('/%7Euser/%e2%82%ac%2fx?q=%7E');
  assert.equal(JSON.parse(body).url, '/~user/%E2%82%AC%2Fx?q=%7E');
});

test('a request for another host than the connection was opened for is misdirected', async (t) => {
  const { ask } = clientOf(t, gateway.url, alice);
  const options = { servername: 'a.test', agent: undefined };
  const to = (host: string) => ask('/', { ...options, headers: { host } });
  assert.equal((await to('b.test')).status, 421);
  assert.equal((await to('A.test:8443')).status, 200);
});

test('a client that waits for 100 is told to go on once it is permitted, never before', async (t) => {
  const { request } = clientOf(t, gateway.url, alice);
  const headers = { expect: '100-continue', 'content-length': 5 };
  const permitted = request('/', { method: 'POST', headers });
  permitted.flushHeaders();
  await once(permitted, 'continue');
  permitted.end('hello');
  const [answer] = (await once(permitted, 'response')) as [IncomingMessage];
  assert.equal(answer.resume().statusCode, 200);
  const denied = request('/', { method: 'DELETE', headers });
  denied.on('continue', () => assert.fail('told to send a body that is denied'));
  denied.on('error', () => {});
  denied.flushHeaders();
  const [refusal] = (await once(denied, 'response')) as [IncomingMessage];
  assert.equal(refusal.resume().statusCode, 403);
});

test('a chunked body above the limit is cut off with 413', async (t) => {
  const { request } = clientOf(t, gateway.url, alice);
  const sent = request('/', { method: 'POST' });
  sent.on('error', () => {});
  sent.write(Buffer.alloc(600));
  sent.write(Buffer.alloc(600));
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  assert.equal(answer.resume().statusCode, 413);
  sent.destroy();
});

test('a head that does not come to its end is given up', async () => {
  const answer = await rawAsk(gateway.port, alice, 'GET / HTTP/1.1\r\nHost: a\r\n', 4000);
  assert.equal(answer.split(' ')[1], '408');
});

test('a connection on which no request ever begins is given up', async () => {
  const began = Date.now();
  await rawAsk(gateway.port, alice, '', 5000);
  assert.ok(Date.now() - began < 4000);
});
