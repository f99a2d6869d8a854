import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { after, before, test } from 'node:test';
import { systemClock } from '@countersign/base';
import type { RevocationSource } from '@countersign/spiffe';
import { type Mutations, type TestCa, testCa } from '@countersign/testkit';
import { encodePem, encodePrivateKey } from '@countersign/x509';
import { routerWorld, serviceSvid, type World, type WorldOptions } from '../router-world.suite.ts';
import type { TestSubgraph } from '../subgraph.suite.ts';
import { type ShopService, serveShop, shopSet } from './shop-service.suite.ts';

const hour = 3_600_000;
const now = systemClock.now();
const stranger = testCa({ name: 'somebody else' });

/** A service with another certificate than it should have. */
function impostor(name: string, mutations: Mutations, service = name, other?: TestCa) {
  return (ca: TestCa) =>
    serveShop({ ca, name, svid: serviceSvid(other ?? ca, service, mutations) });
}

async function selfSigned(name: string): Promise<TestSubgraph> {
  const id = `spiffe://example.org/ns/default/sa/${name}`;
  const own = testCa({
    ...{ name: 'itself', uri: [id], dns: ['localhost'], isCa: false },
    keyUsage: ['digitalSignature'],
  });
  const cert = encodePem('CERTIFICATE', own.root.raw);
  return listening(
    name,
    createTlsServer({ key: encodePrivateKey(own.privateKey), cert, ALPNProtocols: ['h2'] }),
  );
}

/** Another protocol: HTTP/1.1 with the right certificate. */
async function otherProtocol(name: string, ca: TestCa): Promise<TestSubgraph> {
  const { chain, privateKey } = serviceSvid(ca, name);
  const cert = chain.map(({ raw }) => encodePem('CERTIFICATE', raw)).join('');
  return listening(name, createTlsServer({ key: encodePrivateKey(privateKey), cert }));
}

async function listening(name: string, server: Server): Promise<TestSubgraph> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return {
    ...{ name, port, sdl: '', url: `grpcs://localhost:${port}`, requests: [] },
    async close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

const impostors: NonNullable<WorldOptions['impostors']> = {
  wrongid: impostor('wrongid', {}, 'another'),
  wronghost: impostor('wronghost', { dns: ['elsewhere.example'] }),
  wrongdomain: impostor('wrongdomain', { uri: ['spiffe://other.org/ns/default/sa/wrongdomain'] }),
  expired: impostor('expired', { notBefore: now - 2 * hour, notAfter: now - hour }),
  untrusted: impostor('untrusted', {}, 'untrusted', stranger),
  revoked: impostor('revoked', {}),
  plain: (ca) => serveShop({ ca, name: 'plain', isPlaintext: true }).then(overTls),
  selfsigned: () => selfSigned('selfsigned'),
  otherprotocol: (ca) => otherProtocol('otherprotocol', ca),
  strict: (ca) => serveShop({ ca: stranger, name: 'strict', svid: serviceSvid(ca, 'strict') }),
  healthy: (ca) => serveShop({ ca, name: 'healthy' }),
};

/** What is served in plaintext, at an address that says TLS. */
function overTls(shop: ShopService): ShopService {
  return { ...shop, url: shop.url.replace('grpc:', 'grpcs:') };
}

const expectedReasons: Readonly<Record<string, string>> = {
  ...{ wrongid: 'wrong-id', wronghost: 'wrong-host', wrongdomain: 'wrong-trust-domain' },
  ...{ expired: 'expired', untrusted: 'untrusted', revoked: 'revoked', plain: 'plaintext' },
  ...{ selfsigned: 'self-signed', otherprotocol: 'tls', strict: 'refused-us' },
};

const revocation: RevocationSource = {
  check(peer) {
    if (peer.spiffeId?.path !== '/ns/default/sa/revoked') return { status: 'good' };
    return { status: 'revoked', reason: 'keyCompromise', by: 'spiffe-id', at: now };
  },
};

/** Of each subgraph one method, under its own name. */
const entryOf = (name: string) => `grpc:
      descriptor_set: shop.pb
      omit: [BatchGetUsers, ListUsers, RenameUser, Forget, Slow, WatchUsers]
      names: { shop.v1.Users/GetUser: ${name} }`;

let world: World;
before(async () => {
  const names = Object.keys(impostors);
  world = await routerWorld({
    sources: names.map((name) => ({ name, sdl: '', resolvers: {} })),
    ...{ impostors, revocation, binaries: { 'shop.pb': shopSet } },
    entries: Object.fromEntries(names.map((name) => [name, entryOf(name)])),
  });
});
after(() => world.close());

for (const [name, reason] of Object.entries(expectedReasons)) {
  test(`a gRPC service that is ${name} is told nothing: "${reason}" for the operator, a code for the caller`, async () => {
    const query = `{ ${name}(userId: "u1") { userId } healthy(userId: "u1") { userId } }`;
    const answer = await world.ask(query);
    assert.deepEqual(answer.data, { [name]: null, healthy: { userId: 'u1' } });
    const [error, ...more] = answer.errors ?? [];
    assert.deepEqual(more, []);
    assert.deepEqual(error?.path, [name]);
    const { code, id, ...rest } = error?.extensions ?? {};
    assert.equal(code, 'ERR_SUBGRAPH_UNAVAILABLE');
    assert.deepEqual(rest, {});
    assert.doesNotMatch(error?.message ?? '', /certificate|spiffe|tls/i);
    const line = world.lines.find((each) => each.id === id);
    assert.equal(line?.reason, reason, line?.msg ?? 'no line');
    assert.equal(line?.subgraph, name);
    assert.deepEqual((world.subgraphs.get(name) as ShopService).calls ?? [], []);
  });
}

test('plaintext is for those who chose it, or allowed it where mTLS fails, and then it is logged', async () => {
  const common = {
    sources: [{ name: 'shop', sdl: '', resolvers: {} }],
    binaries: { 'shop.pb': shopSet },
  };
  const plain = { shop: (ca: TestCa) => serveShop({ ca, name: 'shop', isPlaintext: true }) };
  await assert.rejects(
    routerWorld({ ...common, impostors: plain, entries: { shop: entryOf('user') } }),
    { code: 'ERR_ROUTER_PLAINTEXT' },
  );
  const lax = await routerWorld({
    ...common,
    impostors: { shop: (ca: TestCa) => plain.shop(ca).then(overTls) },
    entries: { shop: `${entryOf('user')}\n    mtls: { allow_fallback: true }` },
  });
  const chosen = await routerWorld({
    ...{ ...common, impostors: plain, plaintext: true },
    entries: { shop: entryOf('user') },
  });
  try {
    for (const each of [lax, chosen]) {
      const { data } = await each.ask('{ user(userId: "u1") { userId } }');
      assert.deepEqual(data, { user: { userId: 'u1' } });
    }
    assert.ok(lax.lines.some(({ msg, level }) => level === 'warn' && /falling back/.test(msg)));
    assert.equal(lax.router.status().subgraphs[0]?.plaintextFallbacks, 1);
    assert.ok(chosen.lines.some(({ msg }) => /switched off/.test(msg)));
  } finally {
    await Promise.all([lax.close(), chosen.close()]);
  }
});

test('rotations under load: no call fails, and old connections end', async () => {
  const rotating = await routerWorld({
    sources: [{ name: 'shop', sdl: '', resolvers: {} }],
    impostors: { shop: (ca) => serveShop({ ca, name: 'shop' }) },
    ...{ entries: { shop: entryOf('user') }, binaries: { 'shop.pb': shopSet } },
    yaml: 'deduplicate: false',
  });
  try {
    let isOver = false;
    const failed: unknown[] = [];
    let answered = 0;
    const load = Array.from({ length: 4 }, async () => {
      while (!isOver) {
        const answer = await rotating.ask('{ user(userId: "u1") { userId } }');
        answered += 1;
        if (answer.errors !== undefined) failed.push(answer.errors);
      }
    });
    for (let i = 0; i < 10; i += 1) {
      const until = answered + 8;
      while (answered < until) await systemClock.sleep(1);
      rotating.identity.rotate();
    }
    isOver = true;
    await Promise.all(load);
    assert.deepEqual(failed, []);
    while (rotating.router.status().connections.subgraphs > 1) await systemClock.sleep(5);
    const { peer, requests, failures } = rotating.router.status().subgraphs[0] ?? {};
    assert.equal(peer, 'spiffe://example.org/ns/default/sa/shop');
    assert.deepEqual({ requests, failures }, { requests: answered, failures: 0 });
  } finally {
    await rotating.close();
  }
});

test('a method that does not answer is given up at the deadline, which it was told', async () => {
  const slow = await routerWorld({
    sources: [{ name: 'shop', sdl: '', resolvers: {} }],
    impostors: { shop: (ca) => serveShop({ ca, name: 'shop' }) },
    entries: { shop: 'grpc: { descriptor_set: shop.pb }\n    timeout: 150ms' },
    binaries: { 'shop.pb': shopSet },
  });
  try {
    const { data, errors } = await slow.ask('mutation { slow(userId: "u1") { userId } }');
    assert.deepEqual(data, { slow: null });
    const line = slow.lines.find(({ id }) => id === errors?.[0]?.extensions?.id);
    assert.equal(line?.reason, 'timeout');
    // The connection is as good as before.
    const again = await slow.ask('{ getUser(userId: "u1") { userId } }');
    assert.deepEqual(again.data, { getUser: { userId: 'u1' } });
  } finally {
    await slow.close();
  }
});
