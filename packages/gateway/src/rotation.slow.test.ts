import assert from 'node:assert/strict';
import https from 'node:https';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestCredential } from '@countersign/testkit';
import {
  clientOf,
  credentialOf,
  echo,
  idOf,
  issuing,
  startUpstream,
  startWorld,
  svidOf,
  tlsOf,
} from './gateway-world.suite.ts';

const lifetimeMs = 20_000;
const runMs = 45_000;
const perSecond = 200;

test(`certificates of ${lifetimeMs / 1000} s under ${perSecond} requests a second: not one fails`, async (t) => {
  // 1. Client, gateway and upstream rotate at half of the lifetime, each at its own time.
  const upstreamAt = rotating('orders');
  const upstream = await startUpstream(t, echo, upstreamAt.current());
  const gatewayAt = rotating('gateway');
  let svid = svidOf(gatewayAt.current());
  const { gateway } = await startWorld(t, upstream.url, { svids: { svid: () => svid } });
  const clientAt = rotating('alice');
  let agent = agentOf(clientAt.current());
  t.after(() => agent.destroy());
  const { ask } = clientOf(t, gateway.url, undefined);

  // 2. The load. A client that rotates dials with its new certificate when it needs another connection.
  const statuses = new Map<string, number>();
  const pending = new Set<Promise<void>>();
  const began = Date.now();
  let rotations = 0;
  for (let sent = 0; Date.now() - began < runMs; ) {
    if (upstreamAt.isDue()) upstream.server.setSecureContext(serverContext(upstreamAt.rotate()));
    if (gatewayAt.isDue()) svid = svidOf(gatewayAt.rotate());
    if (clientAt.isDue()) {
      rotations += 1;
      agent = agentOf(clientAt.rotate());
    }
    const due = Math.floor(((Date.now() - began) / 1000) * perSecond);
    for (; sent < due; sent += 1) {
      const one = ask(`/orders/${sent}`, { agent, ca: undefined, cert: undefined, key: undefined })
        .then(({ status }) => String(status))
        .catch((thrown: Error & { code?: string }) => thrown.code ?? thrown.message)
        .then((outcome) => {
          statuses.set(outcome, (statuses.get(outcome) ?? 0) + 1);
        })
        .finally(() => pending.delete(one));
      pending.add(one);
    }
    await sleep(5);
  }
  await Promise.all(pending);
  assert.ok(rotations >= 3);
  const total = [...statuses.values()].reduce((sum, count) => sum + count, 0);
  assert.ok(total > (runMs / 1000) * perSecond * 0.95, `${total} requests`);
  assert.deepEqual(Object.fromEntries(statuses), { 200: total });
});

test("a revocation cuts the half of 200 open connections that is its peer's", async (t) => {
  const upstream = await startUpstream(t, (_request, response) => {
    response.writeHead(200);
    response.write('begun');
  });
  const { gateway, revocation } = await startWorld(t, upstream.url);
  const cutMs: number[] = [];
  for (let round = 0; round < 5; round += 1) {
    const streams = await Promise.all(
      Array.from({ length: 200 }, (_, i) => openStream(gateway.url, i % 2 === 0 ? 'alice' : 'bob')),
    );
    const cutAt = streams.filter((_, i) => i % 2 === 0).map(({ closedAt }) => closedAt);
    const revokedAt = performance.now();
    revocation.revoke(idOf('alice'));
    assert.equal(gateway.recheck().codes.ERR_PEER_REVOKED, 100);
    for (const at of await Promise.all(cutAt)) cutMs.push(at - revokedAt);
    assert.ok(streams.every(({ isOpen }, i) => i % 2 === 0 || isOpen()));
    for (const { end } of streams) end();
    revocation.restore(idOf('alice'));
  }
  cutMs.sort((a, b) => a - b);
  const p99 = cutMs[Math.floor(cutMs.length * 0.99)] ?? 0;
  t.diagnostic(`p50 ${cutMs[cutMs.length >> 1]?.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`);
});

const streamers = { alice: credentialOf('alice'), bob: credentialOf('bob') };

async function openStream(url: string, who: keyof typeof streamers) {
  return new Promise<{ closedAt: Promise<number>; isOpen: () => boolean; end: () => void }>(
    (resolve, reject) => {
      const sent = https.get(`${url}/`, { agent: false, ...tlsOf(streamers[who]) });
      sent.on('error', reject);
      sent.on('response', (response) => {
        response.on('error', () => {});
        const closedAt = new Promise<number>((closed) => {
          response.once('close', () => closed(performance.now()));
        });
        response.once('data', () =>
          resolve({ closedAt, isOpen: () => !response.destroyed, end: () => sent.destroy() }),
        );
      });
    },
  );
}

function rotating(name: string) {
  let rotateAt = 0;
  let credential = fresh();
  function fresh(): TestCredential {
    const now = Date.now();
    rotateAt = now + lifetimeMs / 2;
    return issuing.svid(idOf(name), { notBefore: now - 1000, notAfter: now + lifetimeMs });
  }
  return {
    current: () => credential,
    isDue: () => Date.now() >= rotateAt,
    rotate() {
      credential = fresh();
      return credential;
    },
  };
}

function agentOf(credential: TestCredential): https.Agent {
  return new https.Agent({ keepAlive: true, ...tlsOf(credential) });
}

function serverContext({ chainPem, keyPem }: TestCredential) {
  return { cert: chainPem, key: keyPem, ca: tlsOf(undefined).ca };
}
