import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@countersign/base';
import { createClient } from 'graphql-ws';
import { fetch } from 'undici';
import { WebSocket } from 'ws';
import { routerWorld, type World } from './router-world.suite.ts';
import { InFlight } from './subgraph/in-flight.ts';
import type { SubgraphSource } from './subgraph.suite.ts';

const never = () => new Promise<never>(() => {});

const things: SubgraphSource = {
  name: 'things',
  sdl: `type Query { one: Thing never: Int }
type Subscription { tick: Thing }
type Thing @key(fields: "id") { id: ID! }`,
  resolvers: {
    Query: { one: () => ({ id: '1' }), never },
    Subscription: {
      async *tick() {
        for (let id = 1; ; id += 1) {
          yield { tick: { id } };
          await systemClock.sleep(100);
        }
      },
    },
  },
};

const words: SubgraphSource = {
  name: 'words',
  sdl: `type Query { x: Int }
extend type Thing @key(fields: "id") { id: ID! @external word: String }`,
  resolvers: {
    Thing: {
      __resolveReference: async ({ id }: { id: string }) =>
        Number(id) % 2 === 0 ? { id, word: `word ${id}` } : await never(),
    },
  },
};

async function withWorld(use: (world: World) => Promise<void>) {
  const yaml = 'limits: { operation_timeout: 300ms }';
  const world = await routerWorld({ sources: [things, words], yaml });
  try {
    await use(world);
  } finally {
    await world.close();
  }
}

interface Body {
  readonly data?: unknown;
  readonly errors?: readonly { readonly extensions: { readonly code: string } }[];
  readonly incremental?: readonly Body[];
  readonly completed?: readonly object[];
  readonly hasNext?: boolean;
}

/** The answers of a stream over SSE, until `enough` or its end. */
async function events(world: World, query: string, accept = '', enough = Infinity) {
  const leave = new AbortController();
  const response = await fetch(`${world.router.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: `text/event-stream${accept}` },
    body: JSON.stringify({ query }),
    signal: AbortSignal.any([leave.signal, AbortSignal.timeout(30_000)]),
  });
  const found: Body[] = [];
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk as Uint8Array).toString('utf8');
    const all = text.split('\n\n');
    text = all.pop() ?? '';
    for (const event of all) {
      const [name, data = ''] = event.split('\n');
      if (name === 'event: next') found.push(JSON.parse(data.slice('data: '.length)));
    }
    if (found.length >= enough) break;
  }
  leave.abort();
  return found;
}

const codeOf = ({ errors }: Body = {}) => errors?.[0]?.extensions.code;
const unavailable = 'ERR_SUBGRAPH_UNAVAILABLE';

test('a query over SSE or a WebSocket ends with its time, and says so in its data', async () => {
  await withWorld(async (world) => {
    const [streamed, ...more] = await events(world, '{ never }');
    assert.deepEqual([streamed?.data, codeOf(streamed), more], [{ never: null }, unavailable, []]);
    const client = createClient({
      url: `${world.router.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      retryAttempts: 0,
    });
    const found: Body[] = [];
    for await (const each of client.iterate({ query: '{ never }' }))
      found.push(each as unknown as Body);
    assert.deepEqual([found[0]?.data, codeOf(found[0])], [{ never: null }, unavailable]);
    await client.dispose();
    const reasons = world.lines.filter(({ code }) => code === 'ERR_SUBGRAPH_TIMEOUT');
    assert.equal(reasons.length, 2);
    assert.match(String(reasons[0]?.msg), /operation took longer than 300 ms/);
  });
});

test('deferred parts over SSE come with the errors of what took too long', async () => {
  await withWorld(async (world) => {
    const query = '{ one { id ... @defer { word } } }';
    const found = await events(world, query, '; incrementalSpec=v0.2');
    assert.deepEqual(found[0]?.data, { one: { id: '1' } });
    const last = found.at(-1);
    assert.equal(last?.hasNext, false);
    assert.equal(codeOf(last?.incremental?.[0]), unavailable);
  });
});

test('a subscription outlives the time of an operation, each of its events has it', async () => {
  await withWorld(async (world) => {
    const found = await events(world, 'subscription { tick { id word } }', '', 6);
    const told = found.slice(0, 6).map((each) => [each.data, codeOf(each)]);
    const expected = [1, 2, 3, 4, 5, 6].map((id) => {
      const isOdd = id % 2 === 1;
      const tick = { id: String(id), word: isOdd ? null : `word ${id}` };
      return [{ tick }, isOdd ? unavailable : undefined];
    });
    assert.deepEqual(told, expected);
  });
});

test('who shares a fetch waits no longer than its own time, and the others go on', async () => {
  const inFlight = new InFlight<string>();
  const answer = Promise.withResolvers<string>();
  const [first, second] = [new AbortController(), new AbortController()];
  let sent: AbortSignal | undefined;
  const send = (signal: AbortSignal) => {
    sent = signal;
    return answer.promise;
  };
  const one = inFlight.share('k', first.signal, send);
  const other = inFlight.share('k', second.signal, send);
  first.abort(new Error('late'));
  await assert.rejects(one, /late/);
  assert.equal(sent?.aborted, false);
  await assert.rejects(inFlight.share('k', first.signal, send), /late/);
  answer.resolve('there');
  assert.equal(await other, 'there');
  const last = inFlight.share('l', second.signal, send);
  assert.equal(await last, 'there');
});
