import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { after, before, describe, it } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { inspect } from 'node:util';
import * as undici from 'undici';
import { expressPeer } from './express.ts';
import { httpsAgent } from './https-agent.ts';
import { clientId, LiveWorld, type RotatingForTest, serverId } from './live-world.suite.ts';
import { peerOf } from './peer-of.ts';
import { type SecureServer, secureServer } from './secure-server.ts';
import { undiciDispatcher, undiciFetch } from './undici.ts';

const allow = [serverId];

describe('a server of node:http behind secureServer', () => {
  const world = new LiveWorld();
  let server: RotatingForTest;
  let client: RotatingForTest;
  let secure: SecureServer;
  let port: number;
  const http = createServer((request, response) => {
    const guard = expressPeer({ allow: ['spiffe://example.com/ns/prod/sa/*'] });
    guard(request, response, () => {
      response.end(JSON.stringify({ serial: peerOf(request)?.serialHex, url: request.url }));
    });
  });

  before(async () => {
    server = world.server();
    client = world.identity(clientId);
    secure = secureServer(server, http);
    ({ port } = await secure.listen(0));
  });
  after(() => secure.close(0));

  it('shows each client the certificate of the moment, over two rotations of both sides', async () => {
    const options = client.tlsOptions({ allow });
    // As libraries do that copy what they are given.
    const copied = { ...options };
    const seen = new Set<string>();
    for (let i = 0; i < 3; i += 1) {
      const socket = await handshake(port, copied);
      assert.equal(socket.getPeerX509Certificate()?.serialNumber.toLowerCase(), serialOf(server));
      assert.equal(await askOver(socket), serialOf(client));
      seen.add(serialOf(server)).add(serialOf(client));
      server.rotate();
      client.rotate();
    }
    assert.equal(seen.size, 6);
    assert.ok(!inspect(options, { depth: 9, getters: true }).includes('PRIVATE KEY'));
  });

  it('is not talked to by a client that expects somebody else, or by one of another authority', async () => {
    const elsewhere = client.tlsOptions({ allow: ['spiffe://example.com/ns/prod/sa/other'] });
    await assert.rejects(handshake(port, elsewhere), { code: 'ERR_PEER_UNEXPECTED' });
    await assert.rejects(handshake(port, client.tlsOptions({ allow: [] })), {
      code: 'ERR_PEER_UNEXPECTED',
    });
    const stranger = new LiveWorld().identity(clientId);
    await assert.rejects(handshake(port, stranger.tlsOptions({ allow })), {
      code: /SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO/,
    });
  });

  it('is checked by its host name too where no SPIFFE ID is named', async () => {
    const options = client.tlsOptions();
    const socket = await handshake(port, { ...options, servername: 'localhost' });
    socket.destroy();
    await assert.rejects(handshake(port, { ...options, servername: 'orders.internal' }), {
      code: 'ERR_PEER_UNEXPECTED',
    });
  });

  it('is reached by an agent of node:https that begins no request on a connection of before', async () => {
    const agent = httpsAgent(client, { allow });
    try {
      for (let i = 0; i < 3; i += 1) {
        const both = [await get(port, agent), await get(port, agent)];
        assert.deepEqual(both, [serialOf(client), serialOf(client)]);
        client.rotate();
      }
      const others = httpsAgent(client, { allow: ['spiffe://example.com/ns/dev/**'] });
      await assert.rejects(get(port, others), { code: 'ERR_PEER_UNEXPECTED' });
    } finally {
      agent.destroy();
    }
  });

  it('is reached by undici and fetch, with requests under load through two rotations', async () => {
    const fetch = undiciFetch(undici, client, { allow });
    const serials = new Set<string>();
    const url = `https://localhost:${port}/`;
    const ask = async () => {
      const answer = (await (await fetch(url)).json()) as { serial: string };
      serials.add(answer.serial);
    };
    for (let i = 0; i < 3; i += 1) {
      const asked = Array.from({ length: 6 }, ask);
      client.rotate();
      server.rotate();
      await Promise.all([...asked, ...Array.from({ length: 6 }, ask)]);
      await ask();
      assert.ok(serials.has(serialOf(client)));
    }
    await fetch.close();
    const dispatcher = undiciDispatcher(undici, client, { allow: [] });
    await assert.rejects(undici.request(url, { dispatcher }), { code: 'ERR_PEER_UNEXPECTED' });
    await assert.rejects(undici.request('http://localhost:1/', { dispatcher }), {
      code: 'ERR_USAGE',
    });
    await dispatcher.close();
  });

  it('refuses a client that it does not allow before a request is read, and a request by its rules', async () => {
    const fetch = undiciFetch(undici, world.identity('spiffe://example.com/ns/dev/sa/x'), {
      allow,
    });
    const refused = await fetch(`https://localhost:${port}/`);
    assert.equal(refused.status, 403);
    const problem = (await refused.json()) as Record<string, unknown>;
    assert.equal(problem.type, 'about:blank');
    assert.ok(!JSON.stringify(problem).includes('spiffe'));
    await fetch.close();
    const strict = secureServer(server, http, { allow: ['spiffe://example.com/ns/prod/**'] });
    const at = await strict.listen(0);
    const direct = undiciFetch(undici, world.identity('spiffe://example.com/ns/dev/sa/x'), {
      allow,
    });
    await assert.rejects(direct(`https://localhost:${at.port}/`));
    await direct.close();
    const still = undiciFetch(undici, client, { allow });
    assert.equal((await still(`https://localhost:${at.port}/`)).status, 200);
    await still.close();
    await strict.close(0);
  });

  it('cuts a connection whose client is no longer trusted, and no other', async () => {
    let isRevoked = false;
    const follower = new Set<() => void>();
    const revocation = {
      check: () =>
        isRevoked
          ? ({ status: 'unknown', detail: 'nobody knows' } as const)
          : ({ status: 'good' } as const),
      onChange(listener: () => void) {
        follower.add(listener);
        return () => follower.delete(listener);
      },
    };
    const guarded = secureServer(server, http, { revocation });
    const at = await guarded.listen(0);
    const cut = await handshake(at.port, client.tlsOptions({ allow }));
    const innocent = await handshake(port, client.tlsOptions({ allow }));
    await askOver(cut, false);
    isRevoked = true;
    const closed = once(cut, 'close');
    for (const tell of follower) tell();
    await closed;
    assert.equal(await askOver(innocent), serialOf(client));
    await guarded.close(0);
  });
});

describe('servers of node:https and node:http2 behind secureServer', () => {
  const world = new LiveWorld();
  const server = world.server();
  const client = world.identity(clientId);

  it('get connections that need no certificate of theirs', async () => {
    const own = https.createServer((request, response) => {
      response.end(JSON.stringify({ serial: peerOf(request)?.serialHex }));
    });
    const secure = secureServer(server, own);
    const { port } = await secure.listen(0);
    const socket = await handshake(port, client.tlsOptions({ allow }));
    assert.equal(await askOver(socket), serialOf(client));
    await secure.close(0);
  });

  it('speak HTTP/2 with clients whose peer they know', async () => {
    const own = http2.createServer((request, response) => {
      response.end(peerOf(request)?.serialHex ?? '');
    });
    const secure = secureServer(server, own, { alpn: ['h2'] });
    const { port } = await secure.listen(0);
    for (let i = 0; i < 2; i += 1) {
      const session = http2.connect(`https://localhost:${port}`, client.tlsOptions({ allow }));
      const stream = session.request({ ':path': '/' });
      let body = '';
      for await (const part of stream) body += String(part);
      assert.equal(body, serialOf(client));
      session.close();
      client.rotate();
    }
    await secure.close(0);
  });
});

async function handshake(port: number, options: object): Promise<TLSSocket> {
  const socket = connect({ host: 'localhost', port, servername: 'localhost', ...options });
  await once(socket, 'secureConnect');
  return socket;
}

/** The serial that the server saw. */
async function askOver(socket: TLSSocket, ends = true): Promise<string> {
  const connection = ends ? 'close' : 'keep-alive';
  socket.write(`GET / HTTP/1.1\r\nhost: localhost\r\nconnection: ${connection}\r\n\r\n`);
  let text = '';
  while (!/"serial":"(\w+)"/.test(text)) text += String((await once(socket, 'data'))[0]);
  if (ends) socket.destroy();
  return /"serial":"(\w+)"/.exec(text)?.[1] ?? '';
}

async function get(port: number, agent: https.Agent): Promise<string> {
  const request = https.get({ host: 'localhost', port, agent });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let body = '';
  for await (const part of response) body += String(part);
  return (JSON.parse(body) as { serial: string }).serial;
}

function serialOf(identity: RotatingForTest): string {
  return identity.svid().serialHex;
}
