import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import tls from 'node:tls';
import { formatProxyHeader, type ProxyHeader, parseProxyHeader } from '@countersign/mtls';
import type { TestCredential } from '@countersign/testkit';
import {
  alice,
  credentialOf,
  idOf,
  mallory,
  root,
  rulesOf,
  startWorld,
  tlsOf,
} from './gateway-world.suite.ts';

const orders = credentialOf('orders');

test('bytes pass through both ways, and a side that has said its last is still answered', async (t) => {
  const upstream = await startTcpUpstream(t, (socket) => {
    let heard = '';
    socket.on('data', (chunk) => {
      heard += chunk;
    });
    socket.on('end', () => socket.end(`you said ${heard}`));
  });
  const { gateway, url } = await startTunnel(t, upstream.port);
  assert.match(url.href, /^tcp:/);
  const socket = await connectTo(t, url, alice);
  socket.write('hello, ');
  socket.end('goodbye');
  assert.equal(await textOf(socket), 'you said hello, goodbye');
  await until(() => gateway.stats().upstreamConnections === 0);
  const server = await startTcpUpstream(t, (other) => {
    other.end('first my last word');
    other.on('data', (chunk) => upstream.heard.push(String(chunk)));
  });
  const second = await startTunnel(t, server.port);
  const talkative = await connectTo(t, second.url, alice);
  assert.equal(await textOf(talkative), 'first my last word');
  talkative.end('then mine');
  await until(() => upstream.heard.join('') === 'then mine');
});

test('large streams keep the pace of the slower side', async (t) => {
  let sent = 0;
  const upstream = await startTcpUpstream(t, (socket) => {
    const chunk = Buffer.alloc(65_536);
    const pour = (): void => {
      while (sent < 512 * chunk.byteLength) {
        sent += chunk.byteLength;
        if (!socket.write(chunk)) return void socket.once('drain', pour);
      }
      socket.end();
    };
    pour();
  });
  const { url } = await startTunnel(t, upstream.port);
  const socket = await connectTo(t, url, alice);
  socket.pause();
  let before = -1;
  for (let same = 0; same < 5; before = sent) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    same = sent === before ? same + 1 : 0;
  }
  assert.ok(sent < 24 * 1024 * 1024, `${sent} bytes were taken with nobody reading`);
  let received = 0;
  for await (const chunk of socket) received += (chunk as Buffer).byteLength;
  assert.equal(received, 512 * 65_536);
});

test('who may not, and whoever only says to be the upstream, gets nothing through', async (t) => {
  const upstream = await startTcpUpstream(t, (socket) => socket.pipe(socket));
  const { gateway, url } = await startTunnel(t, upstream.port);
  for (const who of [mallory, undefined]) {
    const socket = await connectTo(t, url, who);
    socket.write('let me in');
    assert.equal(await textOf(socket), '');
  }
  assert.equal(upstream.connections, 0);
  const impostor = await startTcpUpstream(t, (socket) => socket.pipe(socket), mallory);
  const misled = await startTunnel(t, impostor.port);
  const socket = await connectTo(t, misled.url, alice);
  socket.write('a secret');
  assert.equal(await textOf(socket), '');
  assert.deepEqual(impostor.heard, []);
  await until(() => gateway.stats().connections === 0);
});

test('rules for what only HTTP has are read as on TCP: gone from what allows, left out of what denies', async (t) => {
  const upstream = await startTcpUpstream(t, (socket) => socket.pipe(socket));
  const policy = (action: string, rule: string) => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: ${action.toLowerCase()} }
spec: { action: ${action}, rules: [${rule}] }
`;
  const from = 'from: [{ source: { principals: ["example.test/alice"] } }]';
  const to = 'to: [{ operation: { methods: [GET] } }]';
  for (const [yaml, passes] of [
    [policy('ALLOW', `{ ${from} }`), true],
    [policy('ALLOW', `{ ${from}, ${to} }`), false],
    [policy('DENY', `{ ${from}, ${to} }`), false],
    [policy('DENY', `{ from: [{ source: { ipBlocks: ["127.0.0.0/8"] } }] }`), false],
    [policy('DENY', `{ from: [{ source: { ipBlocks: ["10.0.0.0/8"] } }] }`), true],
  ] as const) {
    const { url } = await startTunnel(t, upstream.port, { rules: rulesOf(yaml) });
    const socket = await connectTo(t, url, alice);
    socket.end('ping');
    assert.equal(await textOf(socket), passes ? 'ping' : '', yaml);
  }
});

test('an upstream learns from a PROXY header who the client is, and what its certificate proved', async (t) => {
  const told: ProxyHeader[] = [];
  const server = net.createServer((raw) => {
    raw.once('readable', () => {
      const head = raw.read(16) as Buffer;
      const body = raw.read(head.readUInt16BE(14)) as Buffer;
      const header = parseProxyHeader(Buffer.concat([head, body]));
      if (header !== undefined) told.push(header);
      const { chainPem: cert, keyPem: key } = orders;
      const secure = new tls.TLSSocket(raw, { isServer: true, cert, key });
      secure.on('error', () => {});
      secure.end('bye');
    });
  });
  const port = await listen(t, server);
  const { url } = await startTunnel(t, port, { upstreamYaml: ', proxyProtocol: v2' });
  const socket = await connectTo(t, url, alice);
  const { localPort } = socket;
  assert.equal(await textOf(socket), 'bye');
  socket.destroy();
  const [header] = told;
  assert.deepEqual(
    [header?.sourceAddress, header?.sourcePort, header?.destinationPort],
    ['127.0.0.1', localPort, Number(url.port)],
  );
  assert.equal(header?.tls?.spiffeId, idOf('alice'));
  assert.equal(header?.tls?.isVerified, true);
  assert.equal(header?.tls?.version, 'TLSv1.3');
  assert.deepEqual(Buffer.from(header?.tls?.certificate ?? []), Buffer.from(alice.certificate.raw));
});

test('behind a trusted proxy the client is who the proxy says; others are not let near', async (t) => {
  const upstream = await startTcpUpstream(t, (socket) => socket.end('bye'));
  const deny = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: banned }
spec: { action: DENY, rules: [{ from: [{ source: { remoteIpBlocks: ["192.0.2.7"] } }] }] }
`;
  const rules = rulesOf(deny);
  const listenYaml = ', proxyProtocol: { from: [127.0.0.0/8] }';
  const { url } = await startTunnel(t, upstream.port, { rules, listenYaml });
  const addresses = { destinationAddress: '198.51.100.1', destinationPort: 443, sourcePort: 4242 };
  const ask = async (preamble: Uint8Array) => {
    const raw = net.connect(Number(url.port), '127.0.0.1');
    raw.on('error', () => {});
    raw.write(preamble);
    const socket = tls.connect({ socket: raw, ...tlsOf(alice) });
    socket.on('error', () => {});
    t.after(() => socket.destroy());
    return textOf(socket);
  };
  const headerOf = (sourceAddress: string) => formatProxyHeader({ sourceAddress, ...addresses });
  assert.equal(await ask(headerOf('192.0.2.8')), 'bye');
  assert.equal(await ask(headerOf('2001:db8::8')), 'bye');
  assert.equal(await ask(headerOf('192.0.2.7')), '');
  // LOCAL: the proxy asks for itself
  const local = headerOf('192.0.2.7');
  local[12] = 0x20;
  assert.equal(await ask(local), 'bye');
  assert.equal(await ask(new Uint8Array()), '', 'a client without a header');
  assert.equal(await ask(Buffer.from('PROXY TCP4 192.0.2.8 198.51.100.1 4242 443\r\n')), '');
  const strict = ', proxyProtocol: { from: [10.0.0.0/8] }';
  const closed = await startTunnel(t, upstream.port, { rules, listenYaml: strict });
  const raw = net.connect(Number(closed.url.port), '127.0.0.1');
  raw.write(headerOf('192.0.2.8'));
  raw.resume();
  await once(raw, 'close');
});

/** On TCP a rule that denies a path denies everybody: it is left with nothing to ask for. */
const tunnelPolicy = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: tunnel }
spec:
  action: ALLOW
  rules: [{ from: [{ source: { principals: ["example.test/alice", "example.test/bob"] } }] }]
`;

interface TunnelOptions extends NonNullable<Parameters<typeof startWorld>[2]> {}

async function startTunnel(
  t: TestContext,
  port: number,
  { upstreamYaml = '', listenYaml = '', ...more }: TunnelOptions = {},
) {
  const upstream = `{ url: "tcp://127.0.0.1:${port}", spiffeId: ${idOf('orders')}${upstreamYaml} }`;
  const { gateway, revocation } = await startWorld(t, 'https://127.0.0.1:1', {
    rules: rulesOf(tunnelPolicy),
    ...more,
    listenYaml: `, protocol: tcp, upstream: ${upstream}${listenYaml}`,
  });
  return { gateway, revocation, url: new URL(gateway.url) };
}

async function startTcpUpstream(
  t: TestContext,
  onConnection: (socket: Socket) => void,
  { chainPem: cert, keyPem: key }: TestCredential = orders,
) {
  const started = { port: 0, connections: 0, heard: [] as string[] };
  const options = { cert, key, ca: root.rootPem, requestCert: true, allowHalfOpen: true };
  const server = tls.createServer(options, (socket) => {
    started.connections += 1;
    socket.on('error', () => {});

    onConnection(socket);
  });
  server.on('tlsClientError', () => {});
  started.port = await listen(t, server);
  return started;
}

async function listen(t: TestContext, server: net.Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function connectTo(t: TestContext, url: URL, who: TestCredential | undefined) {
  const options = { port: Number(url.port), host: '127.0.0.1', allowHalfOpen: true };
  const socket = tls.connect({ ...options, ...tlsOf(who) } as tls.ConnectionOptions);
  socket.on('error', () => {});
  t.after(() => socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

/** All that comes until the other side ends, or breaks off. */
async function textOf(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  await new Promise<void>((resolve) => {
    socket.once('end', () => resolve());
    socket.once('close', () => resolve());
  });
  return text;
}

async function until(isSo: () => boolean): Promise<void> {
  const end = performance.now() + 30_000;
  while (!isSo()) {
    assert.ok(performance.now() < end, 'waited for too long');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
