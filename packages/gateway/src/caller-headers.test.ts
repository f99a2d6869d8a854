import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { systemClock } from '@countersign/base';
import { verifyPeer } from '@countersign/spiffe';
import { hopHeader, verifyHop } from '@countersign/wire';
import { parseCertificate } from '@countersign/x509';
import { HopHeaders } from './caller-headers.ts';
import { parseGatewayConfig } from './gateway-config.ts';
import {
  alice,
  bundles,
  clientOf,
  credentialOf,
  idOf,
  startUpstream,
  startWorld,
  svidOf,
} from './gateway-world.suite.ts';
import type { ClusterModel } from './model/cluster-model.ts';

test('an upstream is told of a caller under names of choice, and by a signature of the hop that it can verify', async (t) => {
  const seen: { headers: Record<string, unknown>; leaf: Uint8Array }[] = [];
  const { url } = await startUpstream(t, ({ headers, socket }, response) => {
    const leaf = (socket as TLSSocket).getPeerX509Certificate()?.raw ?? new Uint8Array();
    seen.push({ headers, leaf });
    response.end();
  });
  const { gateway } = await startWorld(t, url, {
    listenYaml:
      ', callerHeaders: { X-Caller: spiffeId, X-Dn: subject, X-Mail: email }, signHops: true',
  });
  const client = clientOf(t, gateway.url, alice);
  const forged = { 'x-caller': 'root', x_caller: 'root', 'X-Mail': 'a@b', [hopHeader]: 'forged' };
  await client.ask('/x', { headers: forged });
  await client.ask('/y');
  for (const { headers, leaf } of seen) {
    const { 'x-caller': caller, x_caller: other, 'x-mail': mail } = headers;
    assert.deepEqual([caller, other, mail], [idOf('alice'), undefined, undefined]);
    const verdict = verifyHop(String(headers[hopHeader]), {
      ...{ leaf: parseCertificate(leaf), issuer: idOf('gateway') },
      ...{ audience: idOf('orders'), at: systemClock.now() },
    });
    assert.ok(verdict.ok);
    assert.equal(verdict.claims.subject, idOf('alice'));
  }
  assert.equal(seen[0]?.headers[hopHeader], seen[1]?.headers[hopHeader], 'signed once for both');
  const yaml = (headers: string) =>
    `listen: { callerHeaders: { ${headers} } }\nroutes: [{ match: { pathPrefix: / }, upstream: { url: "http://127.0.0.1:1" } }]\n`;
  const wrongNames = ['host: spiffeId', 'content-length: dns', 'X-Caller: nobody'];
  const ours = ['Client-Cert: subject', 'X_Forwarded_Proto: spiffeId', 'x-a: uri, X_A: dns'];
  for (const wrong of [...wrongNames, ...ours]) {
    assert.throws(() => parseGatewayConfig(yaml(wrong), 'gateway.yaml'), {
      code: 'ERR_CONFIG_VALUE',
    });
  }
  const forging = `listen: { callerHeaders: { x-a: uri } }
routes:
  - match: {}
    upstream: { url: "http://127.0.0.1:1" }
    requestHeaders: { set: { X_A: forged } }`;
  assert.throws(() => parseGatewayConfig(forging, 'gateway.yaml'), /only the handshake says/);
});

test('what one listener tells of callers, no caller says by another listener', async (t) => {
  const seen: unknown[] = [];
  const { url } = await startUpstream(t, ({ headers }, response) => {
    seen.push([headers['x-caller'], headers.x_caller]);
    response.end();
  });
  const yaml = `
listeners:
  - { name: told, port: 0, callerHeaders: { X-Caller: spiffeId } }
  - { name: plain, port: 0 }
routes: [{ match: {}, upstream: { url: "${url}", spiffeId: ${idOf('orders')} } }]`;
  const { gateway } = await startWorld(t, url, {
    config: parseGatewayConfig(yaml, 'gateway.yaml'),
  });
  for (const { url: at } of gateway.listeners) {
    await clientOf(t, at, alice).ask('/x', { headers: { 'x-caller': 'root', X_Caller: 'root' } });
  }
  assert.deepEqual(seen, [
    [idOf('alice'), undefined],
    [undefined, undefined],
  ]);
});

test('a reload that names another upstream has the word about a caller signed for that one', () => {
  const at = systemClock.now();
  const found = verifyPeer({ chain: alice.chain, bundles, at, purpose: 'client' });
  assert.ok(found.ok);
  const gateway = svidOf(credentialOf('gateway'));
  const hops = new HopHeaders(() => gateway);
  const audienceOf = (id: string) => {
    const tls = { identity: 'own', trust: 'own', expect: { spiffeIds: [id] } };
    const [, text = ''] = hops.of(found.peer, { name: 'orders', tls } as never as ClusterModel, at);
    const expected = { leaf: gateway.leaf, issuer: idOf('gateway'), audience: id, at };
    return verifyHop(text, expected).ok;
  };
  assert.deepEqual([audienceOf(idOf('orders')), audienceOf(idOf('orders-2'))], [true, true]);
});
