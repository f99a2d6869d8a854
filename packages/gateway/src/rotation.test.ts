import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:net';
import { test } from 'node:test';
import tls from 'node:tls';
import { noMeter } from '@countersign/base';
import type { TestCredential } from '@countersign/testkit';
import {
  alice,
  clientOf,
  credentialOf,
  echo,
  idOf,
  issuing,
  startUpstream,
  startWorld,
  svidOf,
  textOf,
  tlsOf,
} from './gateway-world.suite.ts';

test('our own rotation is shown to both sides, and breaks nothing that is under way', async (t) => {
  const serials: string[] = [];
  const upstream = await startUpstream(t, (request, response) => {
    const socket = request.socket as tls.TLSSocket;
    serials.push(socket.getPeerCertificate().serialNumber.toLowerCase());
    response.writeHead(200);
    response.write('begun');
    if (request.url !== '/slow') response.end();
    else setTimeout(() => response.end('ended'), 150);
  });
  let current = svidOf(credentialOf('gateway'));
  const { serialHex: before } = current;
  const { gateway } = await startWorld(t, upstream.url, { svids: { svid: () => current } });
  const client = clientOf(t, gateway.url, alice);
  const [slow] = (await once(client.request('/slow', { body: '' }), 'response')) as [
    IncomingMessage,
  ];
  current = svidOf(credentialOf('gateway'));
  assert.equal((await client.ask('/')).status, 200);
  assert.equal(await textOf(slow), 'begunended');
  assert.deepEqual(serials, [before, current.serialHex]);
  const fresh = tls.connect({ port: gateway.port, ...tlsOf(alice) });
  await once(fresh, 'secureConnect');
  assert.equal(fresh.getPeerCertificate().serialNumber.toLowerCase(), current.serialHex);
  fresh.destroy();
});

test('near its end a certificate gets its answers with "connection: close", at its end it is closed', async (t) => {
  const upstream = await startUpstream(t, echo);
  const { gateway } = await startWorld(t, upstream.url);
  const now = Math.floor(Date.now() / 1000) * 1000;
  // Ends in one to two seconds of the twelve that it lives.
  const brief = issuing.svid(idOf('alice'), { notBefore: now - 10_000, notAfter: now + 1000 });
  const answer = await clientOf(t, gateway.url, brief).ask('/');
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.connection, 'close');
  const idle = tls.connect({ port: gateway.port, ...tlsOf(brief) });
  idle.resume();
  await once(idle, 'end');
  // The second that it names belongs to its life.
  assert.ok(Date.now() >= now + 2000, 'not before it ended');
});

test("a response in flight outlives its client's certificate by the grace, and no longer", async (t) => {
  const upstream = await startUpstream(t, (_request, response) => {
    response.writeHead(200);
    const ticking = setInterval(() => response.write('.'), 50);
    response.on('close', () => clearInterval(ticking));
  });
  const yaml = 'limits: { expiryGrace: 600ms }';
  const { gateway } = await startWorld(t, upstream.url, { yaml });
  const end = Math.floor(Date.now() / 1000) * 1000;
  const brief = issuing.svid(idOf('alice'), { notBefore: end - 9000, notAfter: end });
  const sent = clientOf(t, gateway.url, brief).request('/', { body: '' });
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  gateway.recheck();
  await assert.rejects(textOf(response));
  const late = Date.now() - end;
  assert.ok(late >= 1600, `cut ${late} ms after the last second began`);
});

test('an upstream that does not answer is told apart by status', async (t) => {
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address() as { port: number };
  await new Promise((resolve) => closed.close(resolve));
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.after(() => silent.close());
  const slow = await startUpstream(t, () => {});
  const broken = await startUpstream(t, (request) => request.socket.destroy());
  const garbled = await startUpstream(t, (request) => request.socket.end('HTTP/1.1 2\r\n\r\n'));
  const silentPort = (silent.address() as { port: number }).port;
  for (const [url, status, code] of [
    [`https://127.0.0.1:${port}`, 503, 'ERR_UPSTREAM_UNREACHABLE'],
    [`https://127.0.0.1:${silentPort}`, 504, 'ERR_UPSTREAM_TIMEOUT'],
    [slow.url, 504, 'ERR_UPSTREAM_TIMEOUT'],
    [broken.url, 502, 'ERR_UPSTREAM_BROKE'],
    [garbled.url, 502, 'ERR_UPSTREAM_BROKE'],
  ] as const) {
    const upstreamYaml = ', timeout: 200ms, connectTimeout: 100ms';
    const { gateway } = await startWorld(t, url, { upstreamYaml });
    const answer = await clientOf(t, gateway.url, alice).ask('/');
    assert.equal(answer.status, status, url);
    assert.equal(JSON.parse(answer.body).code, code);
  }
});

test('a pooled connection that the upstream has closed costs no safe request', async (t) => {
  let served = 0;
  const upstream = await startUpstream(t, (request, response) => {
    served += 1;
    if (served === 2) request.socket.destroy();
    else response.end('ok');
  });
  const { gateway } = await startWorld(t, upstream.url);
  const { ask } = clientOf(t, gateway.url, alice);
  assert.equal((await ask('/')).status, 200);
  assert.equal((await ask('/')).status, 200);
  assert.equal(served, 3);
});

test('a broken response is a broken connection, not a short answer', async (t) => {
  const upstream = await startUpstream(t, (request, response) => {
    response.writeHead(200);
    response.write('half', () => request.socket.destroy());
  });
  const { gateway } = await startWorld(t, upstream.url);
  await assert.rejects(clientOf(t, gateway.url, alice).ask('/'));
});

test('a client that stops reading is given up, and its request at the upstream with it', async (t) => {
  let gone: Promise<unknown> | undefined;
  const upstream = await startUpstream(t, (request, response) => {
    gone = new Promise((resolve) => request.socket.once('close', resolve));
    response.writeHead(200);
    const chunk = Buffer.alloc(65_536);
    const pour = () => {
      while (response.write(chunk));
    };
    response.on('drain', pour).on('error', () => {});
    pour();
  });
  const { gateway } = await startWorld(t, upstream.url, {
    yaml: 'limits: { stallTimeout: 300ms }',
  });
  const socket = tls.connect({ port: gateway.port, ...tlsOf(alice) });
  socket.on('error', () => {});
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await once(socket, 'secureConnect');
  while (gone === undefined) await new Promise((resolve) => setTimeout(resolve, 10));
  await gone;
  socket.destroy();
});

test('a client that leaves ends its request at the upstream', async (t) => {
  let gone: Promise<unknown> | undefined;
  const upstream = await startUpstream(t, (request, response) => {
    gone = new Promise((resolve) => request.socket.once('close', resolve));
    response.writeHead(200);
    response.write('begun');
  });
  const { gateway } = await startWorld(t, upstream.url);
  const sent = clientOf(t, gateway.url, alice).request('/', { body: '' });
  sent.on('error', () => {});
  await once(sent, 'response');
  sent.destroy();
  await gone;
});

test('closing lets a response end, and takes no more requests', async (t) => {
  const upstream = await startUpstream(t, (_request, response) => {
    response.writeHead(200);
    response.write('begun');
    setTimeout(() => response.end('ended'), 100);
  });
  const { gateway } = await startWorld(t, upstream.url);
  const { request } = clientOf(t, gateway.url, alice);
  const [response] = (await once(request('/', { body: '' }), 'response')) as [IncomingMessage];
  const closing = gateway.close();
  await assert.rejects(clientOf(t, gateway.url, alice).ask('/'), { code: 'ECONNREFUSED' });
  assert.equal(await textOf(response), 'begunended');
  await closing;
  assert.equal(gateway.stats().connections, 0);
});

test('while it closes, a revoked caller is cut and the other one is let finish', async (t) => {
  const responses: ServerResponse[] = [];
  const upstream = await startUpstream(t, (_request, response) => {
    responses.push(response);
    response.writeHead(200);
    response.write('begun');
  });
  const { gateway, revocation } = await startWorld(t, upstream.url);
  const begin = async (who: TestCredential) => {
    const sent = clientOf(t, gateway.url, who).request('/', { body: '' });
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    return textOf(response);
  };
  const cut = begin(alice);
  const whole = begin(credentialOf('bob'));
  while (responses.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  const closing = gateway.close();
  revocation.revoke(idOf('alice'));
  revocation.notify();
  await assert.rejects(cut, { code: 'ECONNRESET' });
  for (const response of responses) response.end('ended');
  assert.equal(await whole, 'begunended');
  await closing;
});

test('a gateway that has lost its identity answers 500, and recovers', async (t) => {
  const upstream = await startUpstream(t, echo);
  const svid = svidOf(credentialOf('gateway'));
  let isLost = false;
  const svids = {
    svid() {
      if (isLost) throw new Error('no identity');
      return svid;
    },
  };
  const { gateway } = await startWorld(t, upstream.url, { svids });
  const { ask } = clientOf(t, gateway.url, alice);
  assert.equal((await ask('/')).status, 200);
  isLost = true;
  assert.equal((await ask('/')).status, 500);
  isLost = false;
  assert.equal((await ask('/')).status, 200);
});

test('the admin port tells health, metrics and by what rules it goes, and nothing else', async (t) => {
  const upstream = await startUpstream(t, echo);
  let current = svidOf(credentialOf('gateway'));
  const { gateway } = await startWorld(t, upstream.url, {
    yaml: 'admin: {}',
    svids: { svid: () => current },
    metricsText: () => 'countersign_up 1\n',
    revocationReport: () => ({ methods: { crl: {} }, onUnknown: 'refuse' }),
    meter: noMeter,
  });
  const get = (path: string) => fetch(`${gateway.adminUrl}${path}`);
  assert.equal((await get('/healthz')).status, 200);
  assert.equal(await (await get('/metrics')).text(), 'countersign_up 1\n');
  assert.equal((await get('/metrics?from=scraper')).status, 200);
  const serial = current.serialHex;
  const notAfter = new Date(current.notAfter).toISOString();
  assert.deepEqual(await (await get('/status')).json(), {
    identity: { spiffeId: idOf('gateway'), serial, notAfter },
    connections: { clients: 0, upstreams: 0 },
    listeners: [{ name: 'gateway', protocol: 'auto', clientAuth: 'require', connections: 0 }],
    upstreams: [
      {
        name: new URL(upstream.url).host,
        endpoints: [{ address: new URL(upstream.url).host, requests: 0 }],
      },
    ],
    revocation: { methods: { crl: {} }, onUnknown: 'refuse' },
  });
  assert.equal((await get('/')).status, 404);
  const past = { notBefore: Date.now() - 7_200_000, notAfter: Date.now() - 3_600_000 };
  current = svidOf(issuing.svid(idOf('gateway'), past));
  const unwell = await get('/healthz');
  assert.equal(unwell.status, 503);
  assert.match(await unwell.text(), /expired/);
});
