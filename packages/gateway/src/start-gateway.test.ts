import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import tls from 'node:tls';
import { CountersignError } from '@countersign/base';
import { parseClientCert, parseXfcc } from '@countersign/wire';
import { parseGatewayConfig } from './gateway-config.ts';
import {
  alice,
  clientOf,
  credentialOf,
  echo,
  idOf,
  issuing,
  mallory,
  rulesOf,
  startUpstream,
  startWorld,
  svidOf,
  textOf,
  tlsOf,
} from './gateway-world.suite.ts';

test('a permitted request reaches the upstream with what the handshake proved, and nothing else', async (t) => {
  const upstream = await startUpstream(t, echo);
  const { gateway } = await startWorld(t, upstream.url);
  const { ask } = clientOf(t, gateway.url, alice);
  const answer = await ask('/orders/7?x=%20', {
    headers: {
      'X-Forwarded-Client-Cert': `By=spiffe://evil;URI=${idOf('root')}`,
      x_forwarded_client_cert: 'spoofed',
      'Client-Cert': ':AAAA:',
      'X-Forwarded-For': '10.0.0.1',
      'X-SSL-Client-Verify': 'SUCCESS',
      'Proxy-Authorization': 'Basic x',
      Connection: 'keep-alive, X-Only-Here',
      'X-Only-Here': '1',
      'X-Kept': 'yes',
    },
  });
  assert.equal(answer.status, 200);
  const seen = JSON.parse(answer.body);
  assert.equal(seen.url, '/orders/7?x=%20');
  assert.equal(seen.peer, `URI:${idOf('gateway')}`);
  const { headers } = seen;
  assert.equal(headers.host, new URL(gateway.url).host);
  assert.equal(headers['x-kept'], 'yes');
  assert.equal(headers['x-forwarded-for'], '127.0.0.1');
  assert.equal(headers['x-forwarded-proto'], 'https');
  for (const name of ['x_forwarded_client_cert', 'x-ssl-client-verify', 'x-only-here']) {
    assert.equal(headers[name], undefined, name);
  }
  assert.equal(headers['proxy-authorization'], undefined);
  const [element, ...others] = parseXfcc(headers['x-forwarded-client-cert']);
  assert.deepEqual(others, []);
  assert.deepEqual(element?.uri, [idOf('alice')]);
  assert.deepEqual(element?.by, [idOf('gateway')]);
  assert.deepEqual(
    Buffer.from(parseClientCert(headers['client-cert'])),
    Buffer.from(alice.certificate.raw),
  );
});

test('responses pass as they are: without a body, with repeated headers, with interim ones before', async (t) => {
  const upstream = await startUpstream(t, (request, response) => {
    if (request.url === '/none') return void response.writeHead(204, { etag: '"1"' }).end();
    if (request.url === '/same') return void response.writeHead(304, { etag: '"1"' }).end();
    response.writeEarlyHints({ link: '</x>; rel=preload' });
    response.writeHead(203, [
      ...['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'Content-Length', '4'],
      ...['Connection', 'X-Hop', 'X-Hop', '1'],
    ]);
    response.end('body');
  });
  const { gateway } = await startWorld(t, upstream.url);
  const { ask } = clientOf(t, gateway.url, alice);
  assert.equal((await ask('/none')).status, 204);
  assert.equal((await ask('/same')).headers.etag, '"1"');
  const head = await ask('/', { method: 'HEAD' });
  assert.equal(head.headers['content-length'], '4');
  assert.equal(head.body, '');
  const { status, headers, body } = await ask('/');
  assert.deepEqual([status, body], [203, 'body']);
  assert.deepEqual(headers['set-cookie'], ['a=1', 'b=2']);
  assert.equal(headers['x-hop'], undefined);
});

test('who is not permitted gets an opaque answer with a look-up id', async (t) => {
  const upstream = await startUpstream(t, echo);
  const { gateway } = await startWorld(t, upstream.url, { newId: () => 'id-1' });
  const denied = await clientOf(t, gateway.url, alice).ask('/orders', { method: 'DELETE' });
  assert.equal(denied.status, 403);
  assert.equal(denied.headers['content-type'], 'application/problem+json');
  const problem = JSON.parse(denied.body);
  assert.equal(problem.code, 'ERR_AUTHZ_DENIED');
  assert.equal(problem.id, 'id-1');
  assert.equal(problem.detail, undefined);
  const refused = await clientOf(t, gateway.url, mallory).ask('/orders');
  assert.equal(refused.status, 403);
  assert.equal(JSON.parse(refused.body).code, 'ERR_AUTHZ_NO_RULE');
  assert.equal(refused.headers.connection, 'close');
});

test('without a client certificate, or with a wrong one, a stranger learns the status and an id', async (t) => {
  const upstream = await startUpstream(t, echo);
  const { gateway } = await startWorld(t, upstream.url);
  const nobody = await clientOf(t, gateway.url, undefined).ask('/orders');
  assert.equal(nobody.status, 401);
  assert.deepEqual(Object.keys(JSON.parse(nobody.body)).sort(), ['id', 'status', 'title', 'type']);
  const expired = issuing.svid(idOf('alice'), {
    notBefore: Date.now() - 7_200_000,
    notAfter: Date.now() - 1000,
  });
  const late = await clientOf(t, gateway.url, expired).ask('/orders');
  assert.equal(late.status, 403);
  assert.equal(gateway.stats().connections, 0);
});

test('an upstream with another SPIFFE ID gets nothing', async (t) => {
  let requests = 0;
  const impostor = await startUpstream(
    t,
    (_request, response) => {
      requests += 1;
      response.end();
    },
    credentialOf('impostor'),
  );
  const { gateway } = await startWorld(t, impostor.url);
  const answer = await clientOf(t, gateway.url, alice).ask('/orders');
  assert.equal(answer.status, 502);
  assert.equal(JSON.parse(answer.body).code, 'ERR_UPSTREAM_IDENTITY');
  assert.equal(requests, 0);
});

test('bodies are streamed both ways, at the pace of the slower side', async (t) => {
  const upstream = await startUpstream(t, (request, response) => {
    response.writeHead(200);
    request.pipe(response);
  });
  const { gateway } = await startWorld(t, upstream.url);
  const { request } = clientOf(t, gateway.url, alice);
  const sent = request('/echo', { method: 'POST' });
  sent.write('first');
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const [first] = await once(response, 'data');
  assert.equal(String(first), 'first', 'arrived before the request ended');
  // Nobody reads now: what fits into buffers is taken, the rest has to wait. The kernel's own grow as it likes, up to
  // 36 MB for each of the four hops; most often some 20 MB are taken in all.
  response.pause();
  const chunk = Buffer.alloc(65_536, 1);
  const most = 160 * 1024 * 1024;
  let written = 0;
  while (written < most && (await accepts(sent, chunk))) written += chunk.byteLength;
  assert.ok(written < most, `${written} bytes were taken with nobody reading`);
  sent.end();
  let received = 0;
  for await (const part of response) received += (part as Buffer).byteLength;
  assert.ok(received >= written);
});

test('revoking a peer cuts exactly its connections, in the middle of a response', async (t) => {
  const upstream = await startUpstream(t, (_request, response) => {
    response.writeHead(200);
    response.write('begun');
  });
  const { gateway, revocation } = await startWorld(t, upstream.url);
  const [revoked, innocent] = [alice, credentialOf('bob')].map((who) =>
    clientOf(t, gateway.url, who),
  );
  const responses: IncomingMessage[] = [];
  for (const client of [revoked!, revoked!, innocent!]) {
    const [response] = await once(client.request('/stream', { body: '' }), 'response');
    await once(response, 'data');
    responses.push(response);
  }
  assert.equal(gateway.stats().requestsInFlight, 3);
  revocation.revoke(idOf('alice'));
  const report = gateway.recheck();
  assert.deepEqual(report.codes, { ERR_PEER_REVOKED: 2 });
  const broken = responses.slice(0, 2).map((response) => assert.rejects(textOf(response)));
  await Promise.all(broken);
  assert.equal(responses[2]!.destroyed, false);
  assert.equal((await innocent!.ask('/other', { method: 'DELETE' })).status, 403);
  const again = await revoked!.ask('/stream');
  assert.equal(again.status, 403);
  assert.equal(JSON.parse(again.body).code, 'ERR_PEER_REVOKED');
});

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a session that a revoked peer resumes is asked about again, on ${version}`, async (t) => {
    const upstream = await startUpstream(t, echo);
    const { gateway, revocation } = await startWorld(t, upstream.url);
    const options = { host: '127.0.0.1', port: gateway.port, maxVersion: version, ...tlsOf(alice) };
    const first = tls.connect(options);
    first.on('error', () => {});
    first.resume();
    const [session] = await once(first, 'session');
    const ask = async () => {
      const socket = tls.connect({ ...options, session });
      await once(socket, 'secureConnect');
      const resumed = socket.isSessionReused();
      socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      return { answer: await textOf(socket), resumed };
    };
    const before = await ask();
    assert.match(before.answer, /^HTTP\/1\.1 200/);
    revocation.revoke(idOf('alice'));
    gateway.recheck();
    const after = await ask();
    assert.match(after.answer, /^HTTP\/1\.1 403/);
    assert.match(after.answer, /ERR_PEER_REVOKED/);
    assert.deepEqual([before.resumed, after.resumed], [true, true]);
  });
}

test('a source that tells of a change is enough to be cut', async (t) => {
  const upstream = await startUpstream(t, echo);
  const { gateway, revocation } = await startWorld(t, upstream.url);
  const { ask } = clientOf(t, gateway.url, alice);
  await ask('/');
  assert.equal(gateway.stats().connections, 1);
  revocation.forget(idOf('alice'));
  revocation.notify();
  await Promise.resolve();
  assert.equal(gateway.stats().connections, 0);
  const again = await clientOf(t, gateway.url, alice).ask('/');
  assert.equal(JSON.parse(again.body).code, 'ERR_REVOCATION_UNKNOWN');
});

test('an upstream that is revoked loses its pooled connections and gets no more', async (t) => {
  let requests = 0;
  const upstream = await startUpstream(t, (request, response) => {
    requests += 1;
    echo(request, response);
  });
  const { gateway, revocation } = await startWorld(t, upstream.url);
  const { ask } = clientOf(t, gateway.url, alice);
  assert.equal((await ask('/')).status, 200);
  assert.equal(gateway.stats().upstreamConnections, 1);
  revocation.revoke(idOf('orders'));
  assert.equal(gateway.recheck().closed, 1);
  const answer = await ask('/');
  assert.equal(answer.status, 502);
  assert.equal(requests, 1);
});

test('a gateway whose own certificate is revoked refuses everybody, until another one replaces it', async (t) => {
  const upstream = await startUpstream(t, (_request, response) => {
    response.writeHead(200);
    response.write('begun');
    if (_request.url !== '/stream') response.end();
  });
  let own = svidOf(credentialOf('gateway'));
  const { serialHex } = own;
  const revoked = { reason: 'keyCompromise', by: 'serial', at: Date.now() } as const;
  let isRevoked = false;
  const { gateway } = await startWorld(t, upstream.url, {
    svids: { svid: () => own },
    ownRevocation: (self) =>
      isRevoked && self.serialHex === serialHex
        ? { status: 'revoked', ...revoked }
        : { status: 'good' },
    yaml: 'admin: { port: 0 }',
  });
  const healthz = async () => (await fetch(`${gateway.adminUrl}/healthz`)).status;
  const [response] = await once(
    clientOf(t, gateway.url, alice).request('/stream', { body: '' }),
    'response',
  );
  assert.equal(await healthz(), 200);
  isRevoked = true;
  assert.deepEqual(gateway.recheck().codes, { ERR_GATEWAY_SELF_REVOKED: 2 });
  await assert.rejects(textOf(response));
  const refused = await clientOf(t, gateway.url, alice).ask('/');
  assert.equal(refused.status, 503);
  assert.equal(JSON.parse(refused.body).code, 'ERR_GATEWAY_SELF_REVOKED');
  assert.equal(await healthz(), 503);
  own = svidOf(credentialOf('gateway'));
  assert.equal((await clientOf(t, gateway.url, alice).ask('/')).status, 200);
  assert.equal(await healthz(), 200);
});

test('a gateway without an identity is unwell, and says so', async (t) => {
  const upstream = await startUpstream(t, echo);
  const own = svidOf(credentialOf('gateway'));
  let isGone = false;
  const svid = () => {
    if (isGone) throw new CountersignError('ERR_SVID_NONE', 'no identity yet');
    return own;
  };
  const { gateway } = await startWorld(t, upstream.url, {
    svids: { svid },
    yaml: 'admin: { port: 0 }',
  });
  isGone = true;
  const answer = await fetch(`${gateway.adminUrl}/healthz`);
  assert.deepEqual(
    [answer.status, await answer.text()],
    [503, '{"status":"unwell","reason":"no identity yet"}\n'],
  );
});

test('a gateway that cannot let anybody in yet is not well, and says why', async (t) => {
  const upstream = await startUpstream(t, echo);
  let reason: string | undefined = 'the revocation feed was not heard yet';
  const { gateway } = await startWorld(t, upstream.url, {
    notReady: () => reason,
    yaml: 'admin: { port: 0 }',
  });
  const healthz = () => fetch(`${gateway.adminUrl}/healthz`);
  const answer = await healthz();
  assert.deepEqual(
    [answer.status, ((await answer.json()) as { reason: string }).reason],
    [503, reason],
  );
  reason = undefined;
  assert.equal((await healthz()).status, 200);
});

test('new rules cut a request that they no longer permit, and keep the others', async (t) => {
  const upstream = await startUpstream(t, (_request, response) => {
    response.writeHead(200);
    response.write('begun');
  });
  const { gateway } = await startWorld(t, upstream.url);
  const streams = [];
  for (const path of ['/reports/1', '/orders/1']) {
    const { request } = clientOf(t, gateway.url, alice);
    const [response] = await once(request(path, { body: '' }), 'response');
    streams.push(response as IncomingMessage);
  }
  const rules = rulesOf(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no-reports }
spec: { action: DENY, rules: [{ to: [{ operation: { paths: ["/reports/*"] } }] }] }`);
  assert.deepEqual(gateway.reload({ rules }).codes, { ERR_AUTHZ_DENIED: 1 });
  await assert.rejects(textOf(streams[0]!));
  assert.equal(streams[1]!.destroyed, false);
});

test('a reload takes new routes, and refuses what only a restart can change', async (t) => {
  const first = await startUpstream(t, (_request, response) => response.end('first'));
  const second = await startUpstream(t, (_request, response) => response.end('second'));
  const { gateway } = await startWorld(t, first.url);
  const { ask } = clientOf(t, gateway.url, alice);
  assert.equal((await ask('/new')).body, 'first');
  const routes = `
routes:
  - { match: { pathPrefix: /new }, upstream: { url: "${second.url}", spiffeId: ${idOf('orders')} } }
  - { match: { host: other.test }, upstream: { url: "${first.url}", spiffeId: ${idOf('orders')} } }`;
  const config = parseGatewayConfig(`listen: { port: 0 }${routes}`, 'gateway.yaml');
  gateway.reload({ config });
  assert.equal((await ask('/new/1')).body, 'second');
  const unrouted = await ask('/newer');
  assert.equal(unrouted.status, 404);
  assert.equal(JSON.parse(unrouted.body).code, 'ERR_GATEWAY_NO_ROUTE');
  assert.equal((await ask('/x', { headers: { host: 'other.test' } })).body, 'first');
  const moved = parseGatewayConfig(`listen: { port: 1 }${routes}`, 'gateway.yaml');
  assert.throws(() => gateway.reload({ config: moved }), { code: 'ERR_GATEWAY_RESTART' });
});

async function accepts(
  sent: ReturnType<ReturnType<typeof clientOf>['request']>,
  chunk: Uint8Array,
): Promise<boolean> {
  if (sent.write(chunk)) return true;
  const patience = AbortSignal.timeout(200);
  return once(sent, 'drain', { signal: patience }).then(
    () => true,
    () => false,
  );
}
