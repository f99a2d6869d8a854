import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import tls from 'node:tls';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { createMtlsListener } from '@countersign/mtls';
import { openRevocation, type RevocationConfig } from '@countersign/revocation';
import { staticSvid } from '@countersign/spiffe';
import type { TestCredential } from '@countersign/testkit';
import {
  buildOcspResponse,
  decodeOcspGetPath,
  extension,
  type OcspCertStatus,
  ocspResponder,
  parseOcspRequest,
  parseOcspResponse,
} from '@countersign/x509';
import {
  bundles,
  clientOf,
  echo,
  idOf,
  issuing,
  startUpstream,
  startWorld,
  svidOf,
  tlsOf,
} from './gateway-world.suite.ts';

test('a client is looked up before its first request, and cut when fresh data revokes it', async (t) => {
  const responder = await startResponder(t);
  const [alice, bob] = [responder.svid('alice'), responder.svid('bob')];
  const upstream = await startUpstream(t, echo, responder.svid('orders'));
  const { gateway } = await startWorld(t, upstream.url, {
    revocation: open(t, { method: ['ocsp'], scope: 'leaf', ocsp: { refresh: 1000 } }).checks,
  });
  const clients = [alice, bob].map((who) => clientOf(t, gateway.url, who));
  for (const client of clients) assert.equal((await client.ask('/')).status, 200);
  responder.statuses.set(alice.certificate.serialHex, revoked);
  await until(() => gateway.stats().connections === 1);
  const refused = await clientOf(t, gateway.url, alice).ask('/');
  assert.equal(refused.status, 403);
  assert.equal(JSON.parse(refused.body).code, 'ERR_PEER_REVOKED');
  assert.equal((await clients[1]!.ask('/')).status, 200);
});

test('a client of whom nobody knows is refused, or let in where the operator chose so', async (t) => {
  const responder = await startResponder(t);
  const upstream = await startUpstream(t, echo, responder.svid('orders'));
  const nobody = issuing.svid(idOf('alice'));
  for (const [onUnknown, status] of [
    ['refuse', 403],
    ['allow', 200],
  ] as const) {
    const { checks } = open(t, { method: ['ocsp'], scope: 'leaf', onUnknown });
    const { gateway } = await startWorld(t, upstream.url, {
      revocation: checks,
      yaml: `revocation: { method: ocsp, onUnknown: ${onUnknown} }`,
    });
    assert.equal((await clientOf(t, gateway.url, nobody).ask('/')).status, status);
    assert.equal(checks.report().failedOpen === undefined, onUnknown === 'refuse');
  }
});

test('an upstream must staple where the method says so, and its word is enough', async (t) => {
  const responder = await startResponder(t);
  const orders = svidOf(responder.svid('orders'));
  const alice = responder.svid('alice');
  const own = open(t, { method: ['lifetime'], stapleOwn: true }, orders);
  await until(() => own.staples?.staple(orders) !== undefined);
  const http = createServer(echo);
  let isStapling = true;
  const listener = createMtlsListener({
    ...{ name: 'orders', svids: staticSvid(orders), bundles, clientAuth: 'require' },
    ...{ clock: systemClock, log: noLog, meter: noMeter },
    staple: () => (isStapling ? own.staples?.staple(orders) : undefined),
    onConnection: (socket) => void http.emit('connection', socket),
  });
  t.after(() => listener.close(0));
  const { port } = await listener.listen(0, '127.0.0.1');
  const world = () =>
    startWorld(t, `https://127.0.0.1:${port}`, {
      revocation: open(t, { method: ['staple'] }).checks,
    });
  const stapled = await world();
  responder.asked.length = 0;
  assert.equal((await clientOf(t, stapled.gateway.url, alice).ask('/')).status, 200);
  assert.deepEqual(responder.asked, [alice.certificate.serialHex]);
  isStapling = false;
  const bare = await world();
  const { status, body } = await clientOf(t, bare.gateway.url, alice).ask('/');
  assert.equal(status, 502, body);
});

test('the gateway staples an answer about itself for clients who ask', async (t) => {
  const responder = await startResponder(t);
  const gatewayCredential = responder.svid('gateway');
  const svid = svidOf(gatewayCredential);
  const { staples } = open(t, { method: ['lifetime'], stapleOwn: true }, svid);
  await until(() => staples?.staple(svid) !== undefined);
  const upstream = await startUpstream(t, echo);
  const { gateway } = await startWorld(t, upstream.url, {
    svids: staticSvid(svid),
    staple: (shown) => staples?.staple(shown),
  });
  const socket = tls.connect({
    ...{ port: gateway.port, host: '127.0.0.1', requestOCSP: true },
    ...tlsOf(responder.svid('alice')),
  });
  const [staple] = (await once(socket, 'OCSPResponse')) as [Buffer];
  socket.destroy();
  const { basic } = parseOcspResponse(new Uint8Array(staple));
  const { serialHex } = gatewayCredential.certificate;
  assert.deepEqual(
    basic?.responses.map(({ certId, status }) => [certId.serialHex, status.status]),
    [[serialHex, 'good']],
  );
});

const revoked = { status: 'revoked', at: Date.now() - 1000, reason: 'keyCompromise' } as const;

/** A responder of the issuing CA; certificates by `svid` name it. */
async function startResponder(t: TestContext) {
  const statuses = new Map<string, OcspCertStatus>();
  const asked: string[] = [];
  const responder = ocspResponder({ signer: issuing.signer });
  const server = createServer(async (request, response) => {
    const { requests } = parseOcspRequest(decodeOcspGetPath((request.url ?? '').slice(1)));
    asked.push(...requests.map(({ certId }) => certId.serialHex));
    const now = Date.now();
    const answers = requests.map(({ certId }) => ({
      ...{ certId, thisUpdate: now - 1000, nextUpdate: now + 3_600_000 },
      status: statuses.get(certId.serialHex) ?? ({ status: 'good' } as const),
    }));
    response.end(await buildOcspResponse({ responder, producedAt: now, answers }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const ocsp = [`http://127.0.0.1:${(server.address() as AddressInfo).port}`];
  const extensions = [extension.authorityInfoAccess({ ocsp })];
  const svid = (name: string): TestCredential => issuing.svid(idOf(name), { extensions });
  return { statuses, asked, svid };
}

function open(
  t: TestContext,
  config: Partial<RevocationConfig> & Pick<RevocationConfig, 'method'>,
  own = svidOf(issuing.svid(idOf('gateway'))),
) {
  const opened = openRevocation({
    config: { onUnknown: 'refuse', fetch: { allow: ['127.0.0.1'] }, ...config },
    ...{ svids: staticSvid(own), bundles, clock: systemClock, log: noLog, meter: noMeter },
  });
  t.after(() => opened.stop());
  return opened;
}

async function until(isSo: () => boolean): Promise<void> {
  for (let waited = 0; !isSo(); waited += 10) {
    assert.ok(waited < 10_000, 'not within 10 s');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
