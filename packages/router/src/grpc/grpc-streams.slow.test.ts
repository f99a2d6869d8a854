import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:http2';
import {
  type AddressInfo,
  connect as connectTcp,
  createServer as createProxy,
  type Socket,
} from 'node:net';
import { test } from 'node:test';
import { systemClock } from '@countersign/base';
import { ChangeSignal, type RevocationSource } from '@countersign/spiffe';
import { createClient } from 'graphql-ws';
import { Agent, fetch } from 'undici';
import { WebSocket } from 'ws';
import { clientPem, routerWorld, type World, type WorldOptions } from '../router-world.suite.ts';
import { callMessages } from './grpc-call.ts';
import { KeepAlive } from './keep-alive.ts';
import { type ShopService, serveShop, shopSet, untilWatched } from './shop-service.suite.ts';

const forever = 'subscription { watchUsers(count: 0) { userId fullName } }';
const user = (id: string) => ({ data: { watchUsers: { userId: id, fullName: `User ${id}` } } });

async function shopWorld(
  use: (world: World, shop: ShopService) => Promise<void>,
  options: Partial<WorldOptions> = {},
  entry = 'grpc: { descriptor_set: shop.pb }',
): Promise<void> {
  let shop: ShopService | undefined;
  const world = await routerWorld({
    sources: [{ name: 'shop', sdl: '', resolvers: {} }],
    impostors: {
      async shop(ca) {
        shop = await serveShop({ ca, name: 'shop', hasReflection: true });
        return shop;
      },
    },
    entries: { shop: entry },
    binaries: { 'shop.pb': shopSet },
    yaml: 'listen: { port: 0, client_mtls: required }',
    ...options,
  });
  try {
    await use(world, shop as ShopService);
  } finally {
    await world.close();
  }
}

/** The events of a subscription over SSE, as they come. */
async function* events(world: World, query: string, as = 'web'): AsyncGenerator<unknown> {
  const agent = new Agent({ connect: { ...clientPem(world.ca, as), rejectUnauthorized: false } });
  try {
    const response = await fetch(`${world.router.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
      body: JSON.stringify({ query }),
      dispatcher: agent,
    });
    let text = '';
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk as Uint8Array).toString('utf8');
      const all = text.split('\n\n');
      text = all.pop() ?? '';
      for (const event of all) {
        const [name, data = ''] = event.split('\n');
        if (name === 'event: next') yield JSON.parse(data.slice('data: '.length));
        if (name === 'event: complete') yield 'complete';
      }
    }
  } finally {
    await agent.destroy();
  }
}

test('a server stream is a subscription over SSE, and ends as the stream ends', async () => {
  await shopWorld(async (world) => {
    const found: unknown[] = [];
    const query = 'subscription { watchUsers(count: 2) { userId fullName } }';
    for await (const event of events(world, query)) found.push(event);
    assert.deepEqual(found, [user('u0'), user('u1'), 'complete']);
  });
});

test('and over graphql-ws; a caller that has enough cancels the call', async () => {
  await shopWorld(async (world, shop) => {
    const client = createClient({
      url: `${world.router.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: class extends WebSocket {
        constructor(url: string, protocol: string) {
          super(url, protocol, { rejectUnauthorized: false, ...clientPem(world.ca, 'web') });
        }
      },
      retryAttempts: 0,
    });
    const stream = client.iterate({ query: forever });
    const first = stream.next();
    await untilWatched(shop, 1);
    shop.push('u5');
    assert.deepEqual((await first).value, user('u5'));
    await stream.return?.();
    await untilWatched(shop, 0);
    await client.dispose();
  });
});

test('a stream outlives a rotation of our identity, and new calls go over a new connection', async () => {
  await shopWorld(async (world, shop) => {
    const stream = events(world, forever);
    const first = stream.next();
    await untilWatched(shop, 1);
    shop.push('u1');
    assert.deepEqual((await first).value, user('u1'));
    world.identity.rotate();
    const { data } = await world.ask('{ getUser(userId: "u9") { userId } }', { as: 'web' });
    assert.deepEqual(data, { getUser: { userId: 'u9' } });
    assert.equal(world.router.status().connections.subgraphs, 2);
    shop.push('u2');
    assert.deepEqual((await stream.next()).value, user('u2'));
    await stream.return(undefined);
  });
});

for (const whom of ['the caller', 'the service']) {
  test(`revoking ${whom} cuts its open stream`, async () => {
    const changes = new ChangeSignal(() => {});
    let revoked = '';
    const revocation: RevocationSource & { onChange: ChangeSignal['onChange'] } = {
      check: ({ spiffeId }) =>
        spiffeId?.path === revoked
          ? { status: 'revoked', reason: 'keyCompromise', by: 'spiffe-id', at: 0 }
          : { status: 'good' },
      onChange: (listener) => changes.onChange(listener),
    };
    await shopWorld(
      async (world, shop) => {
        const stream = events(world, forever, 'caller');
        const first = stream.next();
        await untilWatched(shop, 1);
        shop.push('u1');
        assert.deepEqual((await first).value, user('u1'));
        revoked = whom === 'the caller' ? '/ns/default/sa/caller' : '/ns/default/sa/shop';
        changes.notify();
        if (whom === 'the caller') {
          await assert.rejects(stream.next());
        } else {
          const { value } = (await stream.next()) as {
            value: { errors: [{ extensions: object }] };
          };
          const [{ extensions }] = value.errors;
          assert.equal((extensions as { code: string }).code, 'ERR_SUBGRAPH_UNAVAILABLE');
        }
        await untilWatched(shop, 0);
        await stream.return(undefined);
      },
      { revocation },
    );
  });
}

test('a service that reflects needs no file, and answers the same', async () => {
  await shopWorld(
    async (world) => {
      const { data } = await world.ask('{ getUser(userId: "u3") { role } }', { as: 'web' });
      assert.deepEqual(data, { getUser: { role: 'ADMIN' } });
    },
    { binaries: {} },
    'grpc: { reflection: true }',
  );
});

test('reloads that fail leave no connection behind, and several at once come to the last one', async () => {
  await shopWorld(
    async ({ router, config, ask }) => {
      const jwt = { jwks: 'absent.json', issuer: 'i', audience: 'a' } as typeof config.jwt;
      for (let i = 0; i < 5; i += 1) {
        await assert.rejects(router.reload({ ...config, jwt }), /no file "absent.json"/);
      }
      assert.equal(router.status().connections.subgraphs, 1);
      const shut = { ...config.authorization, callers: [] };
      await Promise.all([
        router.reload({ ...config, authorization: shut }),
        router.reload(config),
        assert.rejects(router.reload({ ...config, jwt })),
      ]);
      const { data } = await ask('{ getUser(userId: "u3") { role } }', { as: 'web' });
      assert.deepEqual(data, { getUser: { role: 'ADMIN' } });
      while (router.status().connections.subgraphs > 1) await systemClock.sleep(20);
    },
    { binaries: {} },
    'grpc: { reflection: true }',
  );
});

test('a call on a connection that closes just then has carried nothing, so that another may take it', async () => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const authority = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const session = connect(`http://${authority}`);
  await once(session, 'connect');
  session.close();
  const call = {
    ...{ path: 'a.B/C', authority, scheme: 'http' as const, message: new Uint8Array() },
    ...{ metadata: [], deadlineMs: 1000, maxMessageBytes: 1000, signal: undefined },
    clock: systemClock,
  };
  const unsent = { code: 'ERR_DIAL_UNREACHABLE' };
  await assert.rejects(callMessages({ session }, call).next(), unsent);
  session.destroy();
  await assert.rejects(callMessages({ session }, call).next(), unsent);
  await new Promise((resolve) => server.close(resolve));
});

test('a stream on a connection that nobody answers any more ends with a reason', async () => {
  const sockets = new Set<Socket>();
  let shop: ShopService | undefined;
  // Lets everything through until it is paused, and then closes nothing either.
  const proxy = createProxy((near) => {
    const far = connectTcp({ host: '127.0.0.1', port: (shop as ShopService).port });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('error', () => {});
      from.on('data', (chunk) => void to.write(chunk));
      from.on('close', () => to.destroy());
    }
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const { port } = proxy.address() as AddressInfo;
  await shopWorld(
    async (world) => {
      const stream = events(world, forever);
      const first = stream.next();
      await untilWatched(shop as ShopService, 1);
      shop?.push('u1');
      assert.deepEqual((await first).value, user('u1'));
      for (const socket of sockets) socket.pause();
      const { value } = (await stream.next()) as { value: { errors: [{ extensions: object }] } };
      const [{ extensions }] = value.errors;
      assert.equal((extensions as { code: string }).code, 'ERR_SUBGRAPH_UNAVAILABLE');
      const line = world.lines.find(({ msg }) => msg.includes('no answer to a PING'));
      assert.equal(line?.reason, 'timeout');
      await stream.return(undefined);
    },
    {
      impostors: {
        async shop(ca) {
          shop = await serveShop({ ca, name: 'shop' });
          const url = shop.url.replace(/:\d+$/, `:${port}`);
          return { ...shop, url };
        },
      },
    },
    'grpc: { descriptor_set: shop.pb, keepalive: 1s }',
  ).finally(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
});

test('what streams is asked about again and again, and a connection without streams never', async () => {
  const server = createServer();
  let pings = 0;
  const asked = Promise.withResolvers<void>();
  server.on('session', (session) => {
    session.on('ping', () => {
      pings += 1;
      if (pings === 3) asked.resolve();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  await once(session, 'remoteSettings');
  const keepAlive = new KeepAlive(session, 10, systemClock);
  const releases = [keepAlive.hold(), keepAlive.hold()];
  await asked.promise;
  assert.equal(session.destroyed, false);
  for (const release of releases) release();
  const echo = () => new Promise<void>((resolve) => session.ping(() => resolve()));
  await echo();
  const before = pings;
  for (let i = 0; i < 300; i += 1) await echo();
  assert.equal(pings, before + 300);
  session.destroy();
  await new Promise((resolve) => server.close(resolve));
});
