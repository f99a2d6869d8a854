import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { makeSvid, staticBundles, staticSvid } from '@countersign/spiffe';
import { type TestCredential, testCa } from '@countersign/testkit';
import { type DialOptions, dialMtls } from './dial-mtls.ts';
import { expectName, expectSpiffeId } from './expect-peer.ts';
import { LiveConnections } from './live-connections.ts';
import { mtlsConnector } from './mtls-connector.ts';

const ca = testCa();
const issuing = ca.intermediate();
const bundles = staticBundles({ trustDomain: 'example.test', authorities: [ca.root] });
const client = issuing.svid('spiffe://example.test/client');
const server = issuing.svid('spiffe://example.test/server', {
  dns: ['*.svc.test'],
  ip: ['127.0.0.1'],
});

const open: { close(): unknown }[] = [];
after(() => {
  for (const each of open) each.close();
});

test('both sides are verified, and the server gets our certificate', async () => {
  const { port, accepted } = await serve(server);
  const { socket, peer } = await dialMtls(options(port));
  assert.equal(peer.spiffeId?.toString(), 'spiffe://example.test/server');
  const seen = (await accepted()).getPeerX509Certificate();
  assert.equal(seen?.subjectAltName, 'URI:spiffe://example.test/client');
  socket.destroy();
});

test('a server is refused before a byte is written, with the reason', async () => {
  const foreign = testCa({ name: 'foreign' }).svid('spiffe://example.test/server');
  const clientOnly = issuing.svid('spiffe://example.test/server', { extKeyUsage: ['clientAuth'] });
  const expired = issuing.svid('spiffe://example.test/server', {
    notBefore: Date.now() - 7_200_000,
    notAfter: Date.now() - 3_600_000,
  });
  const other = issuing.svid('spiffe://example.test/other');
  const cases: [TestCredential, string | RegExp][] = [
    [foreign, 'ERR_PEER_UNTRUSTED'],
    [clientOnly, /^ERR_(PATH|CERT)_/],
    [expired, 'ERR_PEER_EXPIRED'],
    [other, 'ERR_PEER_UNEXPECTED'],
    [issuing.leaf({ dns: ['a.svc.test'] }), /^ERR_SVID_/],
  ];
  for (const [credential, code] of cases) {
    const { port, bytesAtEnd } = await serve(credential);
    await assert.rejects(dialMtls(options(port)), (thrown: Error & { code: string }) => {
      if (typeof code === 'string') assert.equal(thrown.code, code);
      else assert.match(thrown.code, code);
      assert.ok(thrown.message.includes(`127.0.0.1:${port}`));
      return true;
    });
    assert.equal(await bytesAtEnd(), 0);
  }
});

test('names are expected as whole labels and whole addresses', async () => {
  const { port } = await serve(server);
  const dial = (expect: DialOptions['expect']) => dialMtls(options(port, { expect }));
  for (const good of [
    expectName({ dns: 'A.svc.test' }),
    expectName({ dns: 'a.svc.test.' }),
    expectName({ ip: '127.0.0.1' }),
  ]) {
    (await dial(good)).socket.destroy();
  }
  for (const bad of [
    expectName({ dns: 'svc.test' }),
    expectName({ dns: 'a.b.svc.test' }),
    expectName({ dns: '127.0.0.1' }),
    expectName({ ip: '127.0.0.2' }),
    expectName({ ip: 'no address' }),
    expectSpiffeId(),
  ]) {
    await assert.rejects(dial(bad), { code: 'ERR_PEER_UNEXPECTED' });
  }
});

test('an address is never sent as server name, a name is', async () => {
  const { port, accepted } = await serve(server);
  for (const [servername, sent] of [
    [undefined, false],
    ['a.svc.test', 'a.svc.test'],
  ] as const) {
    const more = servername === undefined ? {} : { servername };
    const { socket } = await dialMtls(options(port, more));
    const at = (await accepted()) as unknown as { servername: unknown };
    assert.equal(at.servername, sent);
    socket.destroy();
  }
});

test('what does not answer is told apart', async () => {
  const silent = createServer(() => {});
  const rude = createServer((socket) => socket.destroy());
  const chatty = createServer((socket) => socket.on('error', () => {}).end('220 hello\r\n'));
  await assert.rejects(dialMtls(options(await portOf(silent), { timeoutMs: 50 })), {
    code: 'ERR_DIAL_TIMEOUT',
  });
  await assert.rejects(dialMtls(options(await portOf(rude))), { code: /ERR_TLS_/ });
  await assert.rejects(dialMtls(options(await portOf(chatty))), { code: 'ERR_TLS_HANDSHAKE' });
  const gone = await portOf(createServer());
  await new Promise((resolve) => (open.at(-1) as Server).close(resolve));
  await assert.rejects(dialMtls(options(gone)), { code: 'ERR_DIAL_UNREACHABLE' });
  const giveUp = new AbortController();
  const dialling = dialMtls(options(await portOf(silent), { signal: giveUp.signal }));
  giveUp.abort();
  await assert.rejects(dialling, { code: 'ERR_DIAL_ABORTED' });
});

test('dialled connections are registered, and can be cut', async () => {
  const { port } = await serve(server);
  const registry = { name: 'test', clock: systemClock, log: noLog, meter: noMeter };
  const connections = new LiveConnections(registry);
  const { socket, live } = await dialMtls(options(port, { connections }));
  assert.equal(connections.count({ serialHex: server.certificate.serialHex }), 1);
  const gone = once(socket, 'close');
  live?.cut({ ok: false, code: 'ERR_PEER_UNEXPECTED', detail: 'test', fields: {} });
  await gone;
  assert.equal(connections.count(), 0);
});

test('a dialled socket keeps what Node itself listens for, which frees its TLS state', async () => {
  const { port } = await serve(server);
  const plain = tls.connect({ port, host: '127.0.0.1', ...lenient });
  const { socket } = await dialMtls(options(port));
  assert.ok(plain.listenerCount('close') > 0);
  assert.deepEqual(socket.listeners('close'), plain.listeners('close'));
  socket.destroy();
  plain.destroy();
});

test('the undici connector dials the origin, and hands errors to the callback', async () => {
  const { port } = await serve(server);
  const connect = (expected: string) =>
    new Promise((resolve, reject) => {
      const { clock, svids, expect } = options(port, { expect: expectSpiffeId(expected) });
      mtlsConnector({ clock, svids: svids!, expect, bundles })(
        { hostname: '127.0.0.1', port: String(port), protocol: 'http:' },
        (failed, socket) => (failed === null ? resolve(socket.destroy()) : reject(failed)),
      );
    });
  await connect('spiffe://example.test/server');
  await assert.rejects(connect('spiffe://example.test/x'), { code: 'ERR_PEER_UNEXPECTED' });
});

function options(port: number, more: Partial<DialOptions> = {}): DialOptions {
  return {
    host: '127.0.0.1',
    port,
    svids: staticSvid(makeSvid(client.chain, client.privateKey)),
    bundles,
    expect: expectSpiffeId('spiffe://example.test/server'),
    clock: systemClock,
    ...more,
  };
}

async function serve(credential: TestCredential) {
  const sockets: tls.TLSSocket[] = [];
  const waiting: ((socket: tls.TLSSocket) => void)[] = [];
  let bytes = 0;
  const listening = tls.createServer(
    { cert: credential.chainPem, key: credential.keyPem, requestCert: true, ...lenient },
    (socket) => {
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        bytes += Buffer.byteLength(chunk);
      });
      const next = waiting.shift();
      if (next === undefined) sockets.push(socket);
      else next(socket);
    },
  );
  const port = await portOf(listening);
  async function accepted(): Promise<tls.TLSSocket> {
    return sockets.shift() ?? new Promise((resolve) => waiting.push(resolve));
  }
  /** Application data received, once the client is gone. */
  async function bytesAtEnd(): Promise<number> {
    await new Promise((resolve) => listening.close(resolve));
    return bytes;
  }
  return { port, accepted, bytesAtEnd };
}

const lenient = { rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] };

async function portOf(listening: Server): Promise<number> {
  if (!listening.listening) {
    open.push(listening);
    listening.listen(0, '127.0.0.1');
    await once(listening, 'listening');
  }
  const address = listening.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
