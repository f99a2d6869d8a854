import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import tls from 'node:tls';
import { type Denial, denial, noLog, noMeter, systemClock } from '@countersign/base';
import {
  makeSvid,
  type PeerMeeting,
  staticBundles,
  staticSvid,
  type VerifiedPeer,
} from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { dialMtls } from './dial-mtls.ts';
import { expectSpiffeId } from './expect-peer.ts';
import { createMtlsListener, type MtlsListener, type MtlsListenerOptions } from './listener.ts';

const ca = testCa();
const bundles = staticBundles({ trustDomain: 'example.test', authorities: [ca.root] });
const serverId = 'spiffe://example.test/server';
const alice = ca.svid('spiffe://example.test/alice');
const server = ca.svid(serverId);
const svidOf = ({ chain, privateKey }: typeof alice) => makeSvid(chain, privateKey);

const open: MtlsListener[] = [];
after(() => Promise.all(open.map((listener) => listener.close(0))));

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a request that comes while its peer is looked up is answered afterwards, on ${maxVersion}`, async () => {
    const http = createServer((request, response) => {
      request.on('data', () => {}).on('end', () => response.end(`served ${request.url}`));
    });
    const admitted: string[] = [];
    const { port } = await listen({
      prepare: (_peer, { purpose }) => wait(150).then(() => void admitted.push(purpose)),
      admit: () => (admitted.length > 0 ? { ok: true } : denial('ERR_PEER_UNEXPECTED', 'early')),
      onConnection: (socket) => http.emit('connection', socket),
    });
    const client = dial(port, { maxVersion });
    const body = 'x'.repeat(100_000);
    const head = `POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`;
    client.write(head + body);
    await once(client, 'secureConnect');
    client.write('GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    const text = await textOf(client);
    assert.match(text, /served \/first.*served \/second/s);
    assert.deepEqual(admitted, ['client']);
  });
}

test('who is refused after the wait is told so, and a look-up that breaks refuses', async () => {
  const refusals: Denial[] = [];
  const onRefused: MtlsListenerOptions['onRefused'] = (socket, refusal) => {
    refusals.push(refusal);
    socket.destroy();
  };
  const late = await listen({
    prepare: () => wait(20),
    admit: () => denial('ERR_PEER_REVOKED', 'found out'),
    onRefused,
  });
  await once(dial(late.port), 'close');
  const broken = await listen({ prepare: () => Promise.reject(new Error('defect')), onRefused });
  await once(dial(broken.port), 'close');
  assert.deepEqual(
    refusals.map(({ code }) => code),
    ['ERR_PEER_REVOKED', 'ERR_INTERNAL'],
  );
});

test('a bundle that is replaced during the wait is the one that counts', async () => {
  let current = bundles;
  const refused = Promise.withResolvers<Denial>();
  const { port } = await listen({
    bundles: { bundle: (domain) => current.bundle(domain) },
    async prepare() {
      const other = testCa({ name: 'another root' });
      current = staticBundles({ trustDomain: 'example.test', authorities: [other.root] });
    },
    onRefused(socket, refusal) {
      refused.resolve(refusal);
      socket.destroy();
    },
  });
  dial(port);
  assert.equal((await refused.promise).code, 'ERR_PEER_UNTRUSTED');
});

test('a client that leaves during the wait is no connection, and closing does not wait for it', async () => {
  const preparing = Promise.withResolvers<void>();
  const lookedUp = Promise.withResolvers<void>();
  const { listener, port } = await listen({
    prepare() {
      preparing.resolve();
      return lookedUp.promise;
    },
    onConnection: () => assert.fail('nobody is there any more'),
  });
  const client = dial(port);
  await preparing.promise;
  const closing = listener.close(0);
  await once(client, 'close');
  lookedUp.resolve();
  await closing;
  assert.equal(listener.connections.count(), 0);
});

test('a server staples what it has for the identity that it presents, and a dialer is handed it', async () => {
  const staple = Uint8Array.of(1, 2, 3);
  let current = svidOf(server);
  const asked: unknown[] = [];
  const { port } = await listen({
    svids: { svid: () => current },
    clientAuth: 'none',
    staple(svid) {
      asked.push(svid);
      return svid === current ? staple : undefined;
    },
    onConnection: (socket) => void socket.resume(),
  });
  const met: (PeerMeeting & { readonly peer: VerifiedPeer })[] = [];
  const dialOnce = async (asksForStaple: boolean) => {
    const { socket } = await dialMtls({
      ...{ host: '127.0.0.1', port, bundles, clock: systemClock, asksForStaple },
      expect: expectSpiffeId(serverId),
      prepare: (peer, meeting) => void met.push({ peer, ...meeting }),
    });
    socket.destroy();
  };
  await dialOnce(true);
  current = svidOf(ca.svid(serverId));
  await dialOnce(true);
  await dialOnce(false);
  assert.deepEqual(
    met.map(({ purpose, staple: shown }) => [purpose, shown]),
    [
      ['server', staple],
      ['server', staple],
      ['server', undefined],
    ],
  );
  assert.equal(asked.length, 2);
  assert.equal(asked[1], current);
});

test('a handshake goes on without a staple where there is none, or getting it fails', async () => {
  for (const staple of [undefined, () => undefined, () => assert.fail('defect')]) {
    const { port } = await listen({ clientAuth: 'none', ...(staple && { staple }) });
    const met: PeerMeeting[] = [];
    const { socket } = await dialMtls({
      ...{ host: '127.0.0.1', port, bundles, clock: systemClock, asksForStaple: true },
      expect: expectSpiffeId(serverId),
      prepare: (_peer, meeting) => wait(1).then(() => void met.push(meeting)),
    });
    socket.destroy();
    assert.deepEqual(met, [{ purpose: 'server', staple: undefined }]);
  }
});

test('a dialled server is judged after the wait, by what was found out', async () => {
  const { port } = await listen({ clientAuth: 'none' });
  let isRevoked = false;
  const dialled = dialMtls({
    ...{ host: '127.0.0.1', port, bundles, clock: systemClock },
    async prepare() {
      await wait(10);
      isRevoked = true;
    },
    expect: () => (isRevoked ? denial('ERR_PEER_REVOKED', 'found out') : { ok: true }),
  });
  await assert.rejects(dialled, { code: 'ERR_PEER_REVOKED' });
});

async function listen(options: Partial<MtlsListenerOptions>) {
  const listener = createMtlsListener({
    ...{ name: 'test', svids: staticSvid(svidOf(server)), bundles, clientAuth: 'require' },
    ...{ clock: systemClock, log: noLog, meter: noMeter },
    onConnection: (socket) => void socket.resume(),
    ...options,
  });
  open.push(listener);
  const { port } = await listener.listen(0, '127.0.0.1');
  return { listener, port };
}

function dial(port: number, more: tls.ConnectionOptions = {}): tls.TLSSocket {
  const client = tls.connect({
    ...{ port, host: '127.0.0.1', cert: alice.chainPem, key: alice.keyPem },
    rejectUnauthorized: false,
    ...more,
  });
  client.on('error', () => {});
  return client;
}

async function textOf(socket: tls.TLSSocket): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  await once(socket, 'close');
  return text;
}
