import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerHttp2Stream } from 'node:http2';
import { test } from 'node:test';
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
} from './gateway-world.suite.ts';
import { answerOf, h2ClientOf, h2Echo, startH2Upstream } from './protocol-world.suite.ts';

test('a new identity gets new HTTP/2 connections; streams on the old one end in peace', async (t) => {
  const held: ServerHttp2Stream[] = [];
  const upstream = await startH2Upstream(t, (stream, headers) => {
    if (headers[':path'] !== '/slow') return h2Echo(stream, headers);
    stream.respond();
    stream.write('begun');
    held.push(stream);
  });
  let svid = svidOf(credentialOf('gateway'));
  const { gateway } = await startWorld(t, upstream.url, {
    svids: { svid: () => svid },
    upstreamYaml: ', protocol: h2',
  });
  const client = h2ClientOf(t, gateway.url, alice);
  const slow = client.open('/slow', {}, true);
  const answer = answerOf(slow);
  await once(slow, 'response');
  assert.equal(upstream.sessions.size, 1);
  svid = svidOf(credentialOf('gateway'));
  assert.equal((await client.ask('/')).status, 200);
  assert.equal(upstream.sessions.size, 2, 'make before break');
  held[0]?.end(', ended');
  assert.equal((await answer).body, 'begun, ended');
  await until(() => upstream.sessions.size === 1);
});

test('at shutdown an HTTP/2 connection is told so, and its streams end', async (t) => {
  const held: ServerHttp2Stream[] = [];
  const upstream = await startH2Upstream(t, (stream) => {
    stream.respond();
    stream.write('begun');
    held.push(stream);
  });
  const { gateway } = await startWorld(t, upstream.url, { upstreamYaml: ', protocol: h2' });
  const client = h2ClientOf(t, gateway.url, alice);
  const stream = client.open('/', {}, true);
  const answer = answerOf(stream);
  await once(stream, 'response');
  const isTold = once(client.session, 'goaway');
  const isClosed = gateway.close();
  await isTold;
  held[0]?.end(', ended');
  assert.equal((await answer).body, 'begun, ended');
  await isClosed;
});

test('near the end of its certificate a client is sent to another HTTP/2 connection', async (t) => {
  const upstream = await startUpstream(t, echo);
  const { gateway } = await startWorld(t, upstream.url);
  const now = Date.now();
  const brief = issuing.svid(idOf('alice'), { notBefore: now - 90_000, notAfter: now + 10_000 });
  const client = h2ClientOf(t, gateway.url, brief);
  const isTold = once(client.session, 'goaway');
  assert.equal((await client.ask('/')).status, 200);
  await isTold;
});

test('an upstream that is revoked loses its HTTP/2 connection, and its callers are told', async (t) => {
  const upstream = await startH2Upstream(t, (stream) => {
    stream.respond();
    stream.write('begun');
  });
  const { gateway, revocation } = await startWorld(t, upstream.url, {
    upstreamYaml: ', protocol: auto',
  });
  const client = h2ClientOf(t, gateway.url, alice);
  const stream = client.open('/', {}, true);
  const answer = answerOf(stream);
  await once(stream, 'response');
  revocation.revoke(idOf('orders'));
  assert.deepEqual(gateway.recheck().codes, { ERR_PEER_REVOKED: 1 });
  assert.notEqual((await answer).rstCode, 0);
  assert.equal((await client.ask('/')).status, 502);
  assert.equal(client.session.destroyed, false, 'only its stream was broken off');
});

test('more requests than an upstream takes at a time wait, or go over another connection', async (t) => {
  let most = 0;
  let open = 0;
  const upstream = await startH2Upstream(
    t,
    (stream) => {
      open += 1;
      most = Math.max(most, open);
      setTimeout(() => {
        open -= 1;
        stream.respond();
        stream.end('ok');
      }, 5);
    },
    { maxConcurrentStreams: 2 },
  );
  const upstreamYaml = ', protocol: h2, maxConnections: 2';
  const { gateway } = await startWorld(t, upstream.url, { upstreamYaml });
  const client = h2ClientOf(t, gateway.url, alice);
  const answers = await Promise.all(Array.from({ length: 60 }, () => client.ask('/')));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.ok(most <= 4, `${most} at a time`);
  assert.ok(upstream.sessions.size <= 2);
});

test('an upstream that is replaced by one of another version is found out about', async (t) => {
  const first = await startH2Upstream(t, h2Echo);
  const { gateway } = await startWorld(t, first.url, { upstreamYaml: ', protocol: auto' });
  const { ask } = clientOf(t, gateway.url, alice);
  assert.equal((await ask('/')).status, 200);
  for (const session of first.sessions) session.destroy();
  await new Promise((resolve) => first.server.close(resolve));
  const second = await startUpstream(
    t,
    echo,
    credentialOf('orders'),
    Number(new URL(first.url).port),
  );
  assert.equal(second.url, first.url);
  const statuses: number[] = [];
  await until(async () => {
    statuses.push((await ask('/')).status);
    return statuses.at(-1) === 200;
  });
  assert.ok(statuses.length <= 3, statuses.join());
});

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 30_000;
  while (!(await isSo())) {
    assert.ok(performance.now() < end, 'waited for too long');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
