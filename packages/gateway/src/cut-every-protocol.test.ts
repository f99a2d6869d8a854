import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import tls from 'node:tls';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { staticSvid } from '@countersign/spiffe';
import type { TestCredential } from '@countersign/testkit';
import { parseGatewayConfig } from './gateway-config.ts';
import {
  alice,
  bundles,
  clientOf,
  credentialOf,
  idOf,
  root,
  rulesOf,
  startUpstream,
  svidOf,
  testRevocation,
  tlsOf,
} from './gateway-world.suite.ts';
import { h2ClientOf, startH2Upstream } from './protocol-world.suite.ts';
import { startGateway } from './start-gateway.ts';
import { webSocketAccept } from './websocket-handshake.ts';

const bob = credentialOf('bob');
const orders = credentialOf('orders');
const policy = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: callers }
spec:
  action: ALLOW
  rules: [{ from: [{ source: { principals: ["example.test/alice", "example.test/bob"] } }] }]
`;

/** One open exchange: says something and hears it back, until it is cut. */
interface Open {
  readonly name: string;
  /** Resolves once the other side has answered. */
  speak(): Promise<void>;
  /** Resolves when the client learns that it was cut. */
  readonly over: Promise<unknown>;
}

test('a revoked client loses what it has open in every protocol, and its innocent twin nothing', async (t) => {
  const { gateway, revocation } = await startAll(t);
  const [mine, theirs] = await Promise.all(
    [alice, bob].map(async (who) => {
      const opened = [];
      for (const open of kinds) opened.push(await open(t, gateway.listeners, who));
      return opened;
    }),
  );
  for (const each of [...mine!, ...theirs!]) await each.speak();
  assert.equal(gateway.stats().connections, 2 * kinds.length);

  revocation.revoke(idOf('alice'));
  const report = gateway.recheck();

  assert.deepEqual(report.codes, { ERR_PEER_REVOKED: kinds.length });
  for (const { name, over } of mine!) await within(over, `${name} of the revoked client`);
  for (const each of theirs!) await within(each.speak(), `${each.name} of its twin`);
  assert.equal(gateway.stats().connections, kinds.length);
  // What they had open at the upstreams is gone too.
  await until(() => gateway.stats().requestsInFlight === kinds.length - 1);
});

type OpenOne = (
  t: TestContext,
  listeners: readonly { readonly url: string; readonly port: number }[],
  who: TestCredential,
) => Promise<Open>;

const kinds: readonly OpenOne[] = [
  async function keepAlive(t, [web], who) {
    const { ask, agent } = clientOf(t, web!.url, who);
    await ask('/plain');
    const [socket] = Object.values(agent.freeSockets).flat();
    const speak = async () => assert.equal((await ask('/plain')).status, 200);
    return { name: 'keep-alive', speak, over: once(socket!, 'close') };
  },
  async function http2Stream(t, [web], who) {
    const client = h2ClientOf(t, web!.url, who);
    const stream = client.open('/calls/echo', { ':method': 'POST' });
    stream.write('hello');
    await once(stream, 'response');
    return echoing('HTTP/2 stream', stream);
  },
  async function grpcStream(t, [web], who) {
    const client = h2ClientOf(t, web!.url, who);
    const headers = { 'content-type': 'application/grpc', te: 'trailers', ':method': 'POST' };
    const stream = client.open('/calls/Echo', headers);
    stream.write('hello');
    await once(stream, 'response');
    return echoing('gRPC stream', stream);
  },
  async function webSocket(t, [web], who) {
    const headers = {
      ...{ connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' },
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    };
    const sent = clientOf(t, web!.url, who).request('/socket', { headers });
    sent.end();
    const [, socket] = (await once(sent, 'upgrade')) as [unknown, Duplex];
    return echoing('WebSocket', socket);
  },
  async function events(t, [web], who) {
    const sent = clientOf(t, web!.url, who).request('/events', { body: '' });
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    assert.equal(response.headers['content-type'], 'text/event-stream');
    const over = new Promise((resolve) => response.once('error', resolve));
    const speak = async () => assert.match(String((await once(response, 'data'))[0]), /^data: /);
    return { name: 'server-sent events', speak, over };
  },
  async function tunnel(t, [, raw], who) {
    const socket = tls.connect({ port: raw!.port, host: '127.0.0.1', ...tlsOf(who) });
    t.after(() => socket.destroy());
    await once(socket, 'secureConnect');
    return echoing('TCP tunnel', socket);
  },
];

function echoing(name: string, stream: Duplex): Open {
  stream.on('error', () => {});
  let count = 0;
  return {
    name,
    async speak() {
      count += 1;
      const word = `${name} ${count};`;
      let heard = '';
      const isHeard = new Promise<void>((resolve) => {
        stream.on('data', (chunk) => {
          heard += chunk;
          if (heard.endsWith(word)) resolve();
        });
      });
      stream.write(word);
      await isHeard;
    },
    over: new Promise((resolve) => stream.once('close', resolve)),
  };
}

/** One gateway before an HTTP/1.1 upstream, an HTTP/2 upstream and one that speaks anything. */
async function startAll(t: TestContext) {
  const h1 = await startUpstream(t, (request, response) => {
    if (request.url !== '/events') return void response.end('ok');
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const ticking = setInterval(() => response.write('data: tick\n\n'), 20);
    response.once('close', () => clearInterval(ticking));
  });
  h1.server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    const proof = webSocketAccept(String(request.headers['sec-websocket-key']));
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n' +
        `Sec-WebSocket-Accept: ${proof}\r\n\r\n`,
    );
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  const h2 = await startH2Upstream(t, (stream) => {
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  });
  const echo = tls.createServer(
    { cert: orders.chainPem, key: orders.keyPem, ca: root.rootPem, requestCert: true },
    (socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    },
  );
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  t.after(() => echo.close());
  const { port } = echo.address() as AddressInfo;
  const spiffeId = idOf('orders');
  const yaml = `
listeners:
  - { name: web, port: 0 }
  - { name: raw, port: 0, protocol: tcp, upstream: { url: "tcp://127.0.0.1:${port}", spiffeId: ${spiffeId} } }
routes:
  - { match: { pathPrefix: /calls }, upstream: { url: "${h2.url}", spiffeId: ${spiffeId}, protocol: h2 } }
  - { match: {}, upstream: { url: "${h1.url}", spiffeId: ${spiffeId} } }
`;
  const revocation = testRevocation();
  const gateway = await startGateway({
    config: parseGatewayConfig(yaml, 'gateway.yaml'),
    ...{ rules: rulesOf(policy), svids: staticSvid(svidOf(credentialOf('gateway'))), bundles },
    ...{ revocation: revocation.source, clock: systemClock, log: noLog, meter: noMeter },
  });
  t.after(async () => {
    revocation.revoke(idOf('bob'));
    gateway.recheck();
    await gateway.close();
  });
  return { gateway, revocation };
}

async function within(promise: Promise<unknown>, what: string): Promise<void> {
  const late = AbortSignal.timeout(30_000);
  const never = new Promise((_, reject) => {
    late.addEventListener('abort', () => reject(new Error(`${what} does not come to an end`)));
  });
  await Promise.race([promise, never]);
}

async function until(isSo: () => boolean): Promise<void> {
  const end = performance.now() + 30_000;
  while (!isSo()) {
    assert.ok(performance.now() < end, 'waited for too long');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
