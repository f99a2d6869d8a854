import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { Agent, WebSocket } from 'undici';
import {
  alice,
  clientOf,
  mallory,
  rawAsk,
  startUpstream,
  startWorld,
  tlsOf,
} from './gateway-world.suite.ts';
import { answerOf, h2ClientOf, startH2Upstream } from './protocol-world.suite.ts';
import { webSocketAccept } from './websocket-handshake.ts';

const handshake = {
  ...{ connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' },
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
};
const extended = { ':method': 'CONNECT', ':protocol': 'websocket', 'sec-websocket-version': '13' };

test('a WebSocket of a client that others made carries messages both ways', async (t) => {
  const { url } = await startFrameEcho(t);
  const { gateway } = await startWorld(t, url);
  for (const allowH2 of [false, true]) {
    const dispatcher = new Agent({ allowH2, connect: tlsOf(alice) as never });
    t.after(() => dispatcher.destroy());
    const address = `${gateway.url.replace('https', 'wss')}/chat`;
    const socket = new WebSocket(address, { dispatcher, protocols: ['chat'] });
    await once(socket, 'open');
    assert.equal(socket.protocol, 'chat');
    for (const text of ['one', 'two', 'x'.repeat(100)]) {
      const message = once(socket, 'message');
      socket.send(text);
      assert.equal(((await message) as [MessageEvent])[0].data, text);
    }
    assert.equal(gateway.stats().requestsInFlight, 1);
    const closed = once(socket, 'close');
    socket.close();
    await closed;
    await until(() => gateway.stats().requestsInFlight === 0);
  }
});

test('WebSocket meets every version of HTTP on either side', async (t) => {
  const h1 = await startByteEcho(t);
  const h2 = await startH2Upstream(t, echoTunnel, { enableConnectProtocol: true });
  for (const [url, protocol] of [
    [h1.url, 'h1'],
    [h2.url, 'h2'],
  ] as const) {
    const { gateway } = await startWorld(t, url, { upstreamYaml: `, protocol: ${protocol}` });
    const sent = clientOf(t, gateway.url, alice).request('/ws', { headers: handshake });
    sent.end();
    const [response, old] = (await once(sent, 'upgrade')) as [IncomingMessage, Duplex];
    assert.equal(
      response.headers['sec-websocket-accept'],
      webSocketAccept(handshake['sec-websocket-key']),
    );
    const client = h2ClientOf(t, gateway.url, alice);
    await once(client.session, 'remoteSettings');
    assert.equal(client.session.remoteSettings.enableConnectProtocol, true);
    const fresh = client.open('/ws', extended);
    const [headers] = await once(fresh, 'response');
    assert.equal(headers[':status'], 200);
    assert.equal(headers['sec-websocket-accept'], undefined);
    for (const tunnel of [old, fresh]) {
      tunnel.write('ping');
      assert.equal(String((await once(tunnel, 'data'))[0]), 'ping', protocol);
    }
    assert.equal(gateway.stats().requestsInFlight, 2);
    old.destroy();
    fresh.close();
    await until(() => gateway.stats().requestsInFlight === 0);
  }
});

test('the rules see a WebSocket as a GET, whatever the version calls it', async (t) => {
  const { url } = await startByteEcho(t);
  const { gateway } = await startWorld(t, url);
  for (const [who, path, code] of [
    [mallory, '/ws', 'ERR_AUTHZ_NO_RULE'],
    [alice, '/admin', 'ERR_AUTHZ_DENIED'],
  ] as const) {
    const sent = clientOf(t, gateway.url, who).request(path, { headers: handshake });
    sent.end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 403);
    response.resume();
    const client = h2ClientOf(t, gateway.url, who);
    await once(client.session, 'remoteSettings');
    const answer = await answerOf(client.open(path, extended), '');
    assert.deepEqual([answer.status, JSON.parse(answer.body).code], [403, code]);
  }
});

test('what asks for another tunnel, or wrongly for this one, is refused', async (t) => {
  const { url } = await startUpstream(t, () => assert.fail('nothing gets here'));
  const { gateway } = await startWorld(t, url);
  const ask = (lines: string, method = 'GET', body = '') =>
    rawAsk(gateway.port, alice, `${method} / HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n${body}`);
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
  const version = 'Sec-WebSocket-Version: 13';
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket';
  for (const [lines, method, body] of [
    ['Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ'],
    [`Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n${key}\r\n${version}`],
    [`Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n${key}\r\n${version}`],
    [`Upgrade: websocket\r\n${key}\r\n${version}`],
    [`${upgrade}\r\n${key}\r\nSec-WebSocket-Version: 8`],
    [`${upgrade}\r\n${version}`],
    [`${upgrade}\r\n${version}\r\n${key}\r\n${key}`],
    [`${upgrade}\r\n${version}\r\nSec-WebSocket-Key: short`],
    [`${upgrade}\r\n${version}\r\n${key}`, 'POST'],
    [`${upgrade}\r\n${version}\r\n${key}\r\nContent-Length: 2`, 'GET', 'ab'],
  ] as [string, string?, string?][]) {
    assert.match(await ask(lines, method, body), /^HTTP\/1\.1 501 /, lines);
  }
});

test('an upstream that does not switch answers as to any request; one that only says so is not believed', async (t) => {
  const answers = {
    '/no': 'HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\nX-Why: because\r\n\r\nnever',
    '/unproved':
      'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
    '/other': 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n',
  };
  const { url, server } = await startUpstream(t, () => {});
  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    socket.end(answers[request.url as keyof typeof answers]);
  });
  const { gateway } = await startWorld(t, url);
  for (const [path, status] of [
    ['/no', 403],
    ['/unproved', 502],
    ['/other', 502],
  ] as const) {
    const sent = clientOf(t, gateway.url, alice).request(path, { headers: handshake });
    sent.end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, status);
    assert.equal(response.headers.connection, 'close');
    if (path === '/no') assert.equal(response.headers['x-why'], 'because');
    response.resume();
    await once(response, 'end');
  }
});

test('a tunnel that either side breaks off, or that is silent too long, takes the other side with it', async (t) => {
  const ends: Duplex[] = [];
  const { url, server } = await startUpstream(t, () => {});
  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    accept(request, socket);
    ends.push(socket);
  });
  const upstreamYaml = ', idleTimeout: 300ms';
  const { gateway } = await startWorld(t, url, { upstreamYaml });
  for (const how of ['client', 'upstream', 'idle'] as const) {
    const sent = clientOf(t, gateway.url, alice).request('/ws', { headers: handshake });
    sent.end();
    const [, socket] = (await once(sent, 'upgrade')) as [unknown, Duplex];
    socket.on('error', () => {});
    const end = ends.pop()!;
    end.on('error', () => {});
    const both = Promise.all([closing(socket), closing(end)]);
    if (how === 'client') socket.destroy();
    if (how === 'upstream') end.destroy();
    await both;
    await until(() => gateway.stats().requestsInFlight === 0);
  }
});

function closing(side: Duplex): Promise<void> {
  side.resume();
  return new Promise((resolve) => side.once('close', () => resolve()));
}

/** Bytes come back as they are. */
async function startByteEcho(t: TestContext) {
  const started = await startUpstream(t, () => {});
  started.server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    accept(request, socket);
    socket.pipe(socket);
  });
  return started;
}

/** Small text frames come back unmasked; a closing frame closes. */
async function startFrameEcho(t: TestContext) {
  const started = await startUpstream(t, () => {});
  started.server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    accept(request, socket, 'Sec-WebSocket-Protocol: chat\r\n');
    socket.on('data', (frame: Buffer) => {
      const length = frame[1]! & 0x7f;
      const mask = frame.subarray(2, 6);
      const payload = frame.subarray(6, 6 + length).map((octet, i) => octet ^ mask[i % 4]!);
      socket.write(Buffer.concat([Uint8Array.of(frame[0]!, length), payload]));
      if ((frame[0]! & 0x0f) === 8) socket.end();
    });
  });
  return started;
}

function accept(request: IncomingMessage, socket: Duplex, more = ''): void {
  socket.on('error', () => {});
  const proof = webSocketAccept(String(request.headers['sec-websocket-key']));
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n' +
      `Sec-WebSocket-Accept: ${proof}\r\n${more}\r\n`,
  );
}

function echoTunnel(stream: ServerHttp2Stream, headers: Record<string, unknown>): void {
  assert.deepEqual([headers[':method'], headers[':protocol']], ['CONNECT', 'websocket']);
  assert.equal(headers['sec-websocket-key'], undefined);
  stream.respond({ ':status': 200 });
  stream.pipe(stream);
}

async function until(isSo: () => boolean): Promise<void> {
  const end = performance.now() + 30_000;
  while (!isSo()) {
    assert.ok(performance.now() < end, 'waited for too long');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
