import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@countersign/base';
import { ChangeSignal, type RevocationSource } from '@countersign/spiffe';
import { createClient } from 'graphql-ws';
import { Agent, fetch } from 'undici';
import { WebSocket } from 'ws';
import { clientPem, routerWorld, type World, type WorldOptions } from '../router-world.suite.ts';
import type { SubgraphSource } from '../subgraph.suite.ts';

const ticks: SubgraphSource = {
  name: 'ticks',
  sdl: `type Query { now: Int }
type Subscription { tick(from: Int = 1): Tick forever: Tick hidden: Int @deny }
type Tick @key(fields: "id") { id: ID! }`,
  resolvers: {
    Subscription: {
      async *tick(_root: unknown, { from }: { from: number }) {
        for (let id = from; id < from + 3; id += 1) yield { tick: { id } };
      },
      async *forever() {
        for (let id = 1; ; id += 1) {
          yield { forever: { id } };
          await systemClock.sleep(10);
        }
      },
    },
  },
};

const names: SubgraphSource = {
  name: 'names',
  sdl: `type Query { x: Int }
extend type Tick @key(fields: "id") { id: ID! @external word: String secret: String @allow(roles: ["none"]) }`,
  resolvers: {
    Tick: { __resolveReference: ({ id }: { id: string }) => ({ id, word: `word ${id}` }) },
  },
};

const query = 'subscription ($from: Int) { tick(from: $from) { id word } }';
const answers = [5, 6, 7].map((id) => ({ data: { tick: { id: String(id), word: `word ${id}` } } }));

async function withWorld(options: Partial<WorldOptions>, use: (world: World) => Promise<void>) {
  const world = await routerWorld({
    sources: [ticks, names],
    yaml: 'listen: { port: 0, client_mtls: required }',
    ...options,
  });
  try {
    await use(world);
  } finally {
    await world.close();
  }
}

/** Events of a stream as JSON, until `enough`, its end or its break. */
async function events(world: World, body: object, enough = Number.POSITIVE_INFINITY) {
  const agent = new Agent({
    connect: { ...clientPem(world.ca, 'web'), rejectUnauthorized: false },
  });
  const found: unknown[] = [];
  try {
    const response = await fetch(`${world.router.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
      body: JSON.stringify(body),
      dispatcher: agent,
    });
    let text = '';
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk as Uint8Array).toString('utf8');
      for (const event of text.split('\n\n').slice(0, -1)) {
        const [name, data = ''] = event.split('\n');
        if (name === 'event: next') found.push(JSON.parse(data.slice('data: '.length)));
        if (name === 'event: complete') found.push('complete');
      }
      text = text.slice(text.lastIndexOf('\n\n') + 2);
      if (found.length >= enough) break;
    }
  } finally {
    await agent.destroy();
  }
  return found;
}

function wsClient(world: World, webSocketOptions: object) {
  return createClient({
    url: `${world.router.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: class extends WebSocket {
      constructor(url: string, protocol: string) {
        super(url, protocol, { rejectUnauthorized: false, ...webSocketOptions });
      }
    },
    retryAttempts: 0,
  });
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

for (const protocol of ['sse', 'graphql-ws']) {
  test(`a subscription over ${protocol} to its subgraph is completed by others, event by event`, async () => {
    const entries = { ticks: `subscriptions: { protocol: ${protocol} }` };
    await withWorld({ entries }, async (world) => {
      const found = await events(world, { query, variables: { from: 5 } });
      assert.deepEqual(found, [...answers, 'complete']);
      const peers = [...world.subgraphs.values()].flatMap(({ requests }) => requests);
      for (const { peer } of peers) assert.equal(peer, 'spiffe://example.org/ns/default/sa/router');
    });
  });
}

test('a subscription over a WebSocket of the caller, with its certificate', async () => {
  await withWorld({}, async (world) => {
    const client = wsClient(world, clientPem(world.ca, 'web'));
    assert.deepEqual(await all(client.iterate({ query, variables: { from: 5 } })), answers);
    const query2 = '{ now }';
    const [one] = await all(client.iterate({ query: query2 }));
    assert.deepEqual(one, { data: { now: null } });
    await client.dispose();
    const foreign = wsClient(world, {
      ...clientPem(world.ca, 'web'),
      origin: 'https://evil.example',
    });
    await assert.rejects(all(foreign.iterate({ query: query2 })));
  });
});

test('an event is judged like every other answer', async () => {
  await withWorld({}, async (world) => {
    const [first] = await events(world, { query: 'subscription { tick { secret } }' });
    const { data, errors } = first as { data: object; errors: { extensions: { code: string } }[] };
    assert.deepEqual(data, { tick: { secret: null } });
    assert.equal(errors[0]?.extensions.code, 'ERR_GRAPHQL_DENIED');
    const denied = { query: 'subscription { a: hidden }' };
    const [only, ...more] = await events(world, denied);
    const told = only as { data: object; errors: { path: string[]; extensions: object }[] };
    assert.deepEqual([told.data, more], [{ a: null }, ['complete']]);
    const [error] = told.errors;
    assert.deepEqual(error?.path, ['a']);
    assert.deepEqual(error?.extensions, { code: 'ERR_GRAPHQL_DENIED' });
    const client = wsClient(world, clientPem(world.ca, 'web'));
    assert.deepEqual(await all(client.iterate(denied)), [only]);
    await client.dispose();
  });
});

test('revoking the caller cuts its open subscription, and nobody else', async () => {
  const changes = new ChangeSignal(() => {});
  let revoked = '';
  const revocation: RevocationSource & { onChange: ChangeSignal['onChange'] } = {
    check: ({ spiffeId }) =>
      spiffeId?.path.endsWith(revoked) === true && revoked !== ''
        ? { status: 'revoked', reason: 'keyCompromise', by: 'spiffe-id', at: 0 }
        : { status: 'good' },
    onChange: (listener) => changes.onChange(listener),
  };
  await withWorld({ revocation }, async (world) => {
    const agent = new Agent({
      connect: { ...clientPem(world.ca, 'caller'), rejectUnauthorized: false },
    });
    const response = await fetch(`${world.router.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
      body: JSON.stringify({ query: 'subscription { forever { id } }' }),
      dispatcher: agent,
    });
    const reader = response.body?.getReader();
    await reader?.read();
    revoked = '/sa/caller';
    changes.notify();
    await assert.rejects(async () => {
      while (!(await reader?.read())?.done);
    });
    assert.equal((await world.ask('{ now }', { as: 'web' })).status, 200);
    await agent.destroy();
  });
});

test('a caller that leaves ends the subscription at its subgraph', async () => {
  await withWorld({}, async (world) => {
    const found = await events(world, { query: 'subscription { forever { id } }' }, 3);
    assert.ok(found.length >= 3);
    while (!world.lines.some(({ over }) => over === 'sse')) await systemClock.sleep(5);
  });
});

test('a subscription that is not streamed is refused, and a query may be streamed', async () => {
  await withWorld({}, async (world) => {
    const refused = await world.ask(query, { as: 'web' });
    assert.match(refused.errors?.[0]?.message ?? '', /text\/event-stream/);
    assert.deepEqual(await events(world, { query: '{ now }' }), [
      { data: { now: null } },
      'complete',
    ]);
  });
});
