import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { systemClock } from '@countersign/base';
import { ChangeSignal, type RevocationSource } from '@countersign/spiffe';
import { Agent, fetch } from 'undici';
import { WebSocket } from 'ws';
import { clientPem, routerWorld, type WorldOptions } from './router-world.suite.ts';
import { shop } from './shop.suite.ts';
import type { SubgraphSource } from './subgraph.suite.ts';

async function withWorld(
  options: Partial<WorldOptions>,
  work: (world: Awaited<ReturnType<typeof routerWorld>>) => Promise<void>,
): Promise<void> {
  const world = await routerWorld({ sources: shop, ...options });
  try {
    await work(world);
  } finally {
    await world.close();
  }
}

test('20 reloads of the supergraph under load: no request fails, and connections do not grow', async () => {
  await withWorld({}, async (world) => {
    let isOver = false;
    let answered = 0;
    const ask = async () => {
      while (!isOver) {
        const { status, errors, data } = await world.ask('{ me { name reviews { body } } }');
        assert.deepEqual([status, errors], [200, undefined]);
        assert.deepEqual(data, { me: { name: 'Ada', reviews: [{ body: 'good' }] } });
        answered += 1;
      }
    };
    const asking = Promise.all(Array.from({ length: 8 }, ask));
    while (answered < 50) await systemClock.sleep(5);
    const before = world.router.status().connections.subgraphs;
    for (let i = 0; i < 20; i += 1) {
      // Every second one changes what is remembered of a subgraph, so that its connections are made anew.
      const subgraphs = world.config.subgraphs.map((each) => ({ ...each, timeout: 30_000 + i }));
      await world.router.reload(i % 2 === 0 ? world.config : { ...world.config, subgraphs });
    }
    isOver = true;
    await asking;
    assert.ok(answered > 20, `${answered} answers`);
    while (world.router.status().connections.subgraphs > before + 8) await systemClock.sleep(10);
  });
});

test('revoking the caller cuts an answer that is still to come, and nobody else', async () => {
  const changes = new ChangeSignal(() => {});
  let revoked = '';
  const revocation: RevocationSource & { onChange: ChangeSignal['onChange'] } = {
    check: ({ spiffeId }) =>
      revoked !== '' && spiffeId?.path.endsWith(revoked) === true
        ? { status: 'revoked', reason: 'keyCompromise', by: 'spiffe-id', position: 1, at: 0 }
        : { status: 'good' },
    onChange: (listener) => changes.onChange(listener),
  };
  const hold = Promise.withResolvers<void>();
  const sources = shop.map((source): SubgraphSource => {
    if (source.name !== 'reviews') return source;
    const { User, ...others } = source.resolvers;
    const reviews = () => hold.promise.then(() => []);
    return { ...source, resolvers: { ...others, User: { ...User, reviews } } };
  });
  const yaml = 'listen: { port: 0, client_mtls: required }';
  await withWorld({ sources, revocation, yaml }, async (world) => {
    const agent = new Agent({
      connect: { ...clientPem(world.ca, 'caller'), rejectUnauthorized: false },
    });
    const response = await fetch(`${world.router.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'multipart/mixed' },
      body: JSON.stringify({ query: '{ me { name ... @defer { reviews { id } } } }' }),
      dispatcher: agent,
    });
    const reader = response.body?.getReader();
    const first = await reader?.read();
    assert.match(Buffer.from(first?.value as Uint8Array).toString(), /"hasNext":true/);
    revoked = '/sa/caller';
    changes.notify();
    await assert.rejects(async () => {
      while (!(await reader?.read())?.done);
    });
    hold.resolve();
    assert.equal((await world.ask('{ me { name } }', { as: 'web' })).status, 200);
    await agent.destroy();
  });
});

test('an answer beyond its limit is refused, of a subgraph and to a caller, whole and in parts', async () => {
  const long = 'x'.repeat(900);
  const text = (name: string, field: string): SubgraphSource => ({
    name,
    sdl: `type Query { ${field}(times: Int!): String }`,
    resolvers: {
      Query: { [field]: (_: unknown, { times }: { times: number }) => long.repeat(times) },
    },
  });
  const sources = [text('a', 'a'), text('b', 'b')];
  await withWorld({ sources, yaml: 'limits: { max_response_bytes: 2048 }' }, async (world) => {
    const { data, errors } = await world.ask('{ a(times: 3) b(times: 1) }');
    assert.deepEqual(data, { a: null, b: long });
    assert.equal(errors?.[0]?.extensions?.code, 'ERR_SUBGRAPH_UNAVAILABLE');
    assert.ok(world.lines.some(({ msg }) => /answer of more than 2048 bytes/.test(msg)));
    const both = await world.ask('{ a(times: 1) b(times: 2) }');
    assert.equal(both.status, 500);
    assert.equal(both.errors?.[0]?.extensions?.code, 'ERR_GRAPHQL_LIMIT');
    const response = await fetch(`${world.router.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'multipart/mixed' },
      body: JSON.stringify({ query: '{ a(times: 1) ... @defer { b(times: 2) } }' }),
    });
    await assert.rejects(response.text());
  });
});

test('who sends over a WebSocket without reading is not read, and then gets all of it', async () => {
  await withWorld({ yaml: 'listen: { port: 0, client_mtls: optional }' }, async ({ router }) => {
    const ws = new WebSocket(
      `${router.url.replace('https', 'wss')}/graphql`,
      'graphql-transport-ws',
      {
        rejectUnauthorized: false,
      },
    );
    await once(ws, 'open');
    ws.send('{"type":"connection_init"}');
    await once(ws, 'message');
    let [sent, got] = [0, 0];
    ws.on('message', () => {
      got += 1;
    });
    ws.pause();
    let isRead = true;
    while (isRead) {
      assert.ok(sent < 3_000_000, `${sent} pings were read`);
      for (let i = 0; i < 20_000; i += 1) ws.send('{"type":"ping"}');
      sent += 20_000;
      for (let i = 0; i < 100 && ws.bufferedAmount > 0; i += 1) await systemClock.sleep(10);
      isRead = ws.bufferedAmount === 0;
    }
    ws.resume();
    while (got < sent && ws.readyState === ws.OPEN) await systemClock.sleep(10);
    assert.equal(got, sent);
    ws.terminate();
  });
});
