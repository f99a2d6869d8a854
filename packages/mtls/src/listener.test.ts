import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as tcpConnect } from 'node:net';
import { after, test } from 'node:test';
import tls from 'node:tls';
import {
  type Denial,
  denial,
  type ErrorCode,
  type Labels,
  type MetricSpec,
  noLog,
  noMeter,
  systemClock,
} from '@countersign/base';
import { makeSvid, type SvidSource, staticBundles, staticSvid } from '@countersign/spiffe';
import { type TestCredential, testCa } from '@countersign/testkit';
import { createMtlsListener, type MtlsListener, type MtlsListenerOptions } from './listener.ts';
import { isAnonymous } from './live-connection.ts';

const ca = testCa();
const issuing = ca.intermediate();
const bundles = staticBundles({ trustDomain: 'example.test', authorities: [ca.root] });
const serverId = 'spiffe://example.test/server';
const svidOf = ({ chain, privateKey }: TestCredential) => makeSvid(chain, privateKey);
const server = svidOf(issuing.svid(serverId));
const alice = issuing.svid('spiffe://example.test/alice');
const bob = issuing.svid('spiffe://example.test/bob');

const open: MtlsListener[] = [];
after(async () => {
  await Promise.all(open.map((listener) => listener.close(0)));
});

test('a verified peer is handed on with its whole chain', async () => {
  const { listener, port, connected } = await start();
  const client = dial(port, alice);
  const { peer, facts } = await connected();
  assert.equal(!isAnonymous(peer) && peer.spiffeId?.toString(), 'spiffe://example.test/alice');
  assert.equal(!isAnonymous(peer) && peer.chain.length, 3);
  assert.equal(facts.protocol, 'TLSv1.3');
  assert.deepEqual(facts.serverNames, ['a.example.test']);
  assert.equal(client.alpnProtocol, 'http/1.1');
  assert.equal(listener.connections.count({ spiffeId: 'spiffe://example.test/alice' }), 1);
  client.destroy();
  await listener.connections.empty();
  assert.equal(listener.connections.count(), 0);
});

test('a chain that includes the root, or is sent in disorder, is the same chain', async () => {
  const { port, connected } = await start();
  const deep = ca.intermediate().intermediate();
  const carol = deep.svid('spiffe://example.test/carol');
  const [leaf = '', lower = '', upper = ''] = carol.chainPem.split(
    /(?<=-----END CERTIFICATE-----\n)/,
  );
  for (const chainPem of [`${carol.chainPem}${ca.rootPem}`, leaf + upper + lower]) {
    dial(port, { ...carol, chainPem });
    const { peer } = await connected();
    assert.equal(!isAnonymous(peer) && peer.chain.length, 4);
  }
});

test('what a stranger can show instead is refused with its reason', async () => {
  const foreign = testCa({ name: 'foreign' }).svid('spiffe://example.test/alice');
  const expired = issuing.svid('spiffe://example.test/alice', {
    notBefore: Date.now() - 7_200_000,
    notAfter: Date.now() - 3_600_000,
  });
  const elsewhere = issuing.svid('spiffe://other.test/alice');
  const cases: [string, TestCredential | undefined, ErrorCode | RegExp][] = [
    ['no certificate', undefined, 'ERR_TLS_CLIENT_CERTIFICATE_MISSING'],
    ['another authority', foreign, 'ERR_PEER_UNTRUSTED'],
    ['an expired one', expired, 'ERR_PEER_EXPIRED'],
    ['another trust domain', elsewhere, 'ERR_PEER_TRUST_DOMAIN'],
    ['no SPIFFE ID', issuing.leaf({ dns: ['alice.test'] }), /^ERR_SVID_/],
    ['a CA', issuing.svid('spiffe://example.test/alice', { isCa: true }), /^ERR_SVID_/],
    ['no intermediate', { ...alice, chainPem: alice.certificatePem }, 'ERR_PEER_UNTRUSTED'],
  ];
  for (const [what, credential, code] of cases) {
    const { port, refused } = await start();
    const client = dial(port, credential);
    const refusal = await refused();
    if (typeof code === 'string') assert.equal(refusal.code, code, what);
    else assert.match(refusal.code, code, what);
    await closed(client);
  }
});

test('with clientAuth "request" nobody is explicitly anonymous, and a wrong certificate is still refused', async () => {
  const { port, connected, refused } = await start({ clientAuth: 'request' });
  const nobody = dial(port, undefined);
  const { peer, facts } = await connected();
  assert.ok(isAnonymous(peer));
  assert.deepEqual(facts.serverNames, ['a.example.test']);
  nobody.destroy();
  dial(port, testCa({ name: 'foreign' }).svid('spiffe://example.test/alice'));
  assert.equal((await refused()).code, 'ERR_PEER_UNTRUSTED');
});

test('a listener with chains serves a client that offers protocols and sends no server name', async () => {
  const more = { bundles, clientAuth: 'none', alpn: ['http/1.1'] } as const;
  const svids = staticSvid(server);
  const { port, connected } = await start({
    clientAuth: 'none',
    chains: [{ name: 'named', serverNames: ['named.test'], svids, ...more }],
  });
  const client = dial(port, undefined, { servername: '' });
  await Promise.race([connected(), closed(client).then(() => assert.fail('refused'))]);
  assert.equal(client.alpnProtocol, 'http/1.1');
  client.destroy();
});

test('handshakes are counted by result and reason', async () => {
  const meter = recordingMeter();
  const { listener, port, connected, refused } = await start({ meter, name: 'edge' });
  const client = dial(port, alice);
  await connected();
  dial(port, undefined);
  await refused();
  await closed(dial(port, alice, { ALPNProtocols: ['h2'] }));
  client.destroy();
  await listener.connections.empty();
  assert.deepEqual(meter.values, {
    'countersign_active_connections{listener=edge}': 0,
    'countersign_handshakes_total{listener=edge,result=ok,reason=none}': 1,
    'countersign_handshakes_total{listener=edge,result=refused,reason=ERR_TLS_CLIENT_CERTIFICATE_MISSING}': 1,
    'countersign_handshakes_total{listener=edge,result=failed,reason=ERR_TLS_HANDSHAKE}': 1,
  });
});

test('without onRefused a refused connection is destroyed at once', async () => {
  const listener = create({ admit: () => denial('ERR_PEER_UNEXPECTED', 'not today') });
  const { port } = await listener.listen(0, '127.0.0.1');
  await closed(dial(port, alice));
  assert.equal(listener.connections.count(), 0);
});

test('an admission or a bundle source that throws refuses, and the listener goes on', async () => {
  let isBroken = true;
  const admit = () => {
    if (isBroken) throw new Error('broken policy');
    return { ok: true } as const;
  };
  const first = await start({ admit });
  dial(first.port, alice);
  assert.equal((await first.refused()).code, 'ERR_INTERNAL');
  isBroken = false;
  dial(first.port, alice);
  await first.connected();
  const bundle = (domain: string) => {
    if (isBroken) throw new Error('broken source');
    return bundles.bundle(domain);
  };
  const second = await start({ bundles: { bundle } });
  isBroken = true;
  dial(second.port, alice);
  assert.equal((await second.refused()).code, 'ERR_INTERNAL');
});

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a resumed session is the same verified peer, on ${version}`, async () => {
    const { port, connected } = await start();
    const session = await sessionOf(dial(port, alice, { maxVersion: version }), connected);
    dial(port, alice, { maxVersion: version, session });
    const again = await connected();
    assert.equal(again.facts.resumed, true);
    assert.equal(!isAnonymous(again.peer) && again.peer.chain.length, 3);
    assert.deepEqual(again.facts.serverNames, ['a.example.test']);
  });

  test(`a ticket of a peer that was cut is refused, on ${version}`, async () => {
    let isRevoked = false;
    const ask = (): { ok: true } | Denial =>
      isRevoked ? denial('ERR_PEER_UNEXPECTED', 'revoked since') : { ok: true };
    const { listener, port, connected, refused } = await start({ admit: ask });
    const client = dial(port, alice, { maxVersion: version });
    const session = await sessionOf(client, connected, true);
    isRevoked = true;
    assert.equal(listener.connections.reask(ask).closed, 1);
    await closed(client);
    const again = dial(port, alice, { maxVersion: version, session });
    assert.equal((await refused()).code, 'ERR_PEER_UNEXPECTED');
    assert.equal(again.isSessionReused(), true);
    await closed(again);
    assert.equal(listener.connections.count(), 0);
  });

  test(`a ticket of one listener is worth nothing at another, on ${version}`, async () => {
    const first = await start({ name: 'first' });
    const second = await start({ name: 'second' });
    const session = await sessionOf(
      dial(first.port, alice, { maxVersion: version }),
      first.connected,
    );
    dial(second.port, alice, { maxVersion: version, session });
    assert.equal((await second.connected()).facts.resumed, false);
  });

  test(`after a reload old tickets lead to full handshakes, on ${version}`, async () => {
    const { listener, port, connected } = await start();
    const session = await sessionOf(dial(port, alice, { maxVersion: version }), connected);
    listener.reload();
    dial(port, alice, { maxVersion: version, session });
    assert.equal((await connected()).facts.resumed, false);
  });
}

test('a rotated identity is presented at the next handshake, without being told', async () => {
  let current = server;
  const { port, connected } = await start({ svids: { svid: () => current } });
  const before = dial(port, alice);
  await connected();
  current = svidOf(issuing.svid(serverId));
  const afterwards = dial(port, alice);
  await connected();
  const serials = [before, afterwards].map((each) => each.getPeerCertificate().serialNumber);
  assert.deepEqual(
    serials.map((serial) => serial.toLowerCase()),
    [server.serialHex, current.serialHex],
  );
  assert.equal(before.destroyed, false, 'established connections stay');
});

test('an identity source that fails leaves the old identity in force', async () => {
  let broken = false;
  const svids: SvidSource = {
    svid() {
      if (broken) throw new Error('no identity');
      return server;
    },
  };
  const { listener, port, connected } = await start({ svids });
  broken = true;
  assert.throws(() => listener.reload(), /no identity/);
  dial(port, alice);
  await connected();
});

test('cutting half of 200 connections keeps the other half', async () => {
  const { listener, port, connected } = await start();
  const clients = [];
  for (let i = 0; i < 200; i += 1) {
    clients.push(dial(port, i % 2 === 0 ? alice : bob));
    await connected();
  }
  const report = listener.connections.reask(() => denial('ERR_PEER_UNEXPECTED', 'revoked'), {
    spiffeId: 'spiffe://example.test/alice',
  });
  assert.equal(report.closed, 100);
  assert.deepEqual(report.codes, { ERR_PEER_UNEXPECTED: 100 });
  await Promise.all(clients.filter((_, i) => i % 2 === 0).map(closed));
  assert.equal(listener.connections.count(), 100);
  assert.ok(clients.every((client, i) => client.destroyed === (i % 2 === 0)));
  for (const client of clients) client.destroy();
});

test('a client that never finishes its handshake is dropped', async () => {
  const { port } = await start({ handshakeTimeoutMs: 50 });
  const socket = tcpConnect(port, '127.0.0.1');
  socket.resume();
  await once(socket, 'close');
});

test('closing lets a handshake under way end, and what it was made for be answered', async () => {
  const { listener, port } = await start({
    onConnection: (socket) => void socket.once('data', () => socket.end('answered')),
  });
  const raw = tcpConnect(port, '127.0.0.1');
  await once(raw, 'connect');
  // The listener has taken the connection: a later one has been through its handshake.
  const later = dial(port, alice);
  await once(later, 'secureConnect');
  const closing = listener.close(5000);
  later.destroy();
  const client = dial(port, alice, { socket: raw });
  client.write('ask');
  const [answer] = await once(client, 'data');
  assert.equal(String(answer), 'answered');
  await closing;
});

test('connections above the cap are dropped', async () => {
  const { port, connected } = await start({ maxConnections: 1 });
  const first = dial(port, alice);
  await connected();
  const second = dial(port, bob);
  await closed(second);
  assert.equal(first.destroyed, false);
});

test('a client that offers only HTTP/2 is refused in the handshake', async () => {
  const { port } = await start();
  const client = dial(port, alice, { ALPNProtocols: ['h2'] });
  const [thrown] = (await once(client, 'error')) as [Error & { code: string }];
  assert.match(thrown.code, /NO_APPLICATION_PROTOCOL/);
  await closed(client);
});

test('a client cannot renegotiate', async () => {
  const { port } = await start();
  const client = dial(port, alice, { maxVersion: 'TLSv1.2' });
  await once(client, 'secureConnect');
  await assert.rejects(
    new Promise((resolve, reject) => {
      client.once('error', reject);
      client.renegotiate({}, (thrown) => (thrown ? reject(thrown) : resolve(undefined)));
    }),
    { code: 'ERR_SSL_NO_RENEGOTIATION' },
  );
});

test('a taken port is one clear error', async () => {
  const { port } = await start();
  const listener = create({});
  await assert.rejects(listener.listen(port, '127.0.0.1'), { code: 'ERR_LISTEN' });
});

interface Connected {
  readonly peer: Parameters<MtlsListenerOptions['onConnection']>[1];
  readonly facts: Parameters<MtlsListenerOptions['onConnection']>[2]['facts'];
}

function create(options: Partial<MtlsListenerOptions>): MtlsListener {
  const listener = createMtlsListener({
    name: 'test',
    svids: staticSvid(server),
    bundles,
    clientAuth: 'require',
    clock: systemClock,
    log: noLog,
    meter: noMeter,
    onConnection: (socket) => socket.resume(),
    ...options,
  });
  open.push(listener);
  return listener;
}

async function start(options: Partial<MtlsListenerOptions> = {}) {
  const arrivals = queue<Connected>();
  const refusals = queue<Denial>();
  const listener = create({
    onConnection(socket, peer, live) {
      socket.resume();
      arrivals.push({ peer, facts: live.facts });
    },
    onRefused(socket, refusal) {
      refusals.push(refusal);
      socket.destroy();
    },
    ...options,
  });
  const { port } = await listener.listen(0, '127.0.0.1');
  return { listener, port, connected: arrivals.next, refused: refusals.next };
}

function dial(port: number, who: TestCredential | undefined, more: tls.ConnectionOptions = {}) {
  const client = tls.connect({
    ...{ port, host: '127.0.0.1', servername: 'a.example.test', ALPNProtocols: ['http/1.1'] },
    ...(who === undefined ? {} : { cert: who.chainPem, key: who.keyPem }),
    rejectUnauthorized: false,
    ...more,
  });
  client.on('error', () => {});
  client.resume();
  return client;
}

async function sessionOf(
  client: tls.TLSSocket,
  connected: () => Promise<unknown>,
  keepOpen = false,
): Promise<Buffer> {
  const [[session]] = await Promise.all([once(client, 'session'), connected()]);
  if (!keepOpen) client.destroy();
  return session as Buffer;
}

async function closed(client: tls.TLSSocket): Promise<void> {
  if (!client.closed) await new Promise((resolve) => client.once('close', resolve));
}

function recordingMeter() {
  const values: Record<string, number> = {};
  const keyOf = ({ name }: MetricSpec, labels: Labels = {}) => {
    const pairs = Object.entries(labels).map(([label, value]) => `${label}=${value}`);
    return `${name}{${pairs.join()}}`;
  };
  return {
    values,
    counter: (spec: MetricSpec) => ({
      add(by = 1, labels?: Labels) {
        values[keyOf(spec, labels)] = (values[keyOf(spec, labels)] ?? 0) + by;
      },
    }),
    gauge: (spec: MetricSpec) => ({
      set(value: number, labels?: Labels) {
        values[keyOf(spec, labels)] = value;
      },
    }),
    histogram: noMeter.histogram,
  };
}

function queue<T>() {
  const ready: T[] = [];
  const waiting: ((value: T) => void)[] = [];
  return {
    push(value: T) {
      const next = waiting.shift();
      if (next === undefined) ready.push(value);
      else next(value);
    },
    async next(): Promise<T> {
      const value = ready.shift();
      if (value !== undefined) return value;
      return new Promise((resolve) => waiting.push(resolve));
    },
  };
}
