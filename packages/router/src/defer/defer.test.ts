import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fetch } from 'undici';
import { routerWorld, type World } from '../router-world.suite.ts';
import { shop } from '../shop.suite.ts';
import type { SubgraphSource } from '../subgraph.suite.ts';

/** Holds the answers of one subgraph back until a test opens it. */
class Gate {
  #open: () => void = () => {};
  #isOpen = Promise.resolve();

  close(): void {
    this.#isOpen = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  open(): void {
    this.#open();
  }

  behind(source: SubgraphSource, type: string): SubgraphSource {
    const { [type]: fields = {}, ...others } = source.resolvers;
    const reference = fields.__resolveReference as (representation: object) => object;
    const gated = async (representation: object) => {
      await this.#isOpen;
      return reference(representation);
    };
    return {
      ...source,
      resolvers: { ...others, [type]: { ...fields, __resolveReference: gated } },
    };
  }
}

const gate = new Gate();
let world: World;
before(async () => {
  const sources = shop.map((source) => {
    if (source.name === 'reviews') return gate.behind(source, 'User');
    return source.name === 'users' ? { ...source, sdl: withRules(source.sdl) } : source;
  });
  world = await routerWorld({ sources, yaml: 'limits: { max_deferred: 5 }' });
});
after(() => world.close());

function withRules(sdl: string): string {
  return sdl.replace('email: String', 'email: String @allow(roles: ["staff"])');
}

type Part = Record<string, unknown>;

/** The parts of an answer, each as soon as it is whole. */
async function* partsOf(query: string, spec: string, variables?: object): AsyncGenerator<Part> {
  const response = await fetch(`${world.router.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: `multipart/mixed; ${spec}` },
    body: JSON.stringify({ query, variables }),
  });
  assert.equal(response.status, 200);
  assert.equal(
    response.headers.get('content-type'),
    `multipart/mixed; boundary="-"; ${spec === '' ? 'incrementalSpec=v0.2' : spec}`,
  );
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk as Uint8Array).toString('utf8');
    for (;;) {
      const match = /^--- *\r\n(?:[^\r]+\r\n)+\r\n(.*?)\r\n(?=---)/s.exec(text);
      if (match === null) break;
      text = text.slice(match[0].length);
      yield JSON.parse(match[1] ?? '');
    }
  }
  assert.equal(text, '-----\r\n');
}

async function allParts(query: string, spec: string, variables?: object): Promise<Part[]> {
  const parts: Part[] = [];
  for await (const part of partsOf(query, spec, variables)) parts.push(part);
  return parts;
}

const old = 'deferSpec=20220824';
const now = 'incrementalSpec=v0.2';

test('the first part does not wait for a subgraph that only a deferred fragment needs', async () => {
  gate.close();
  const query = '{ me { name ... @defer(label: "later") { reviews { body } } } }';
  const parts = partsOf(query, now);
  const first = (await parts.next()).value;
  gate.open();
  assert.deepEqual(first, {
    data: { me: { name: 'Ada' } },
    pending: [{ id: '0', path: ['me'], label: 'later' }],
    hasNext: true,
  });
  assert.deepEqual((await parts.next()).value, {
    incremental: [{ id: '0', data: { reviews: [{ body: 'good' }] } }],
    completed: [{ id: '0' }],
    hasNext: false,
  });
  assert.equal((await parts.next()).done, true);
});

test('fields of the subgraph that answers the first part are fetched later, too, by the key', async () => {
  const users = world.subgraphs.get('users');
  const before = users?.requests.length ?? 0;
  const parts = await allParts('{ me { name ... @defer { role } } }', old);
  assert.deepEqual(parts, [
    { data: { me: { name: 'Ada' } }, hasNext: true },
    { incremental: [{ path: ['me'], data: { role: 'ADMIN' } }], hasNext: false },
  ]);
  const [first, second] = users?.requests.slice(before).map(({ body }) => body.query) ?? [];
  assert.doesNotMatch(String(first), /role/);
  assert.match(String(second), /_entities.*role/s);
});

test('fragments defer within fragments, in lists, by name, and under aliases', async () => {
  const query = `
    query Q($id: ID!) { people: users { key: id ...more @defer(label: "a") } user(id: $id) { id: name } }
    fragment more on User { reviews { id of { ...book @defer(label: "b") } } }
    fragment book on Book { titel: title maker { country } postage }`;
  const parts = await allParts(query, old, { id: 'u2' });
  assert.deepEqual(parts[0], {
    data: { people: [{ key: 'u1' }, { key: 'u2' }], user: { id: 'Grace' } },
    hasNext: true,
  });
  const later = parts.slice(1).flatMap(({ incremental }) => incremental as Part[]);
  const sorted = later.sort((a, b) => String(a.path).localeCompare(String(b.path)));
  assert.deepEqual(sorted, [
    {
      data: { reviews: [{ id: 'r1', of: {} }] },
      ...{ path: ['people', 0], label: 'a' },
    },
    {
      data: { titel: 'Notes', maker: { country: 'DE' }, postage: 12 },
      ...{ path: ['people', 0, 'reviews', 0, 'of'], label: 'b' },
    },
    { data: { reviews: [] }, path: ['people', 1], label: 'a' },
  ]);
});

test('what the first part has is not said again in the newer format, and is in the older', async () => {
  const query = '{ top { upc ... on Book @defer { upc pages reviews { id } } } }';
  const [, ...newer] = await allParts(query, now);
  const [, ...older] = await allParts(query, old);
  const reviews = [{ id: 'r1' }, { id: 'r2' }];
  assert.deepEqual(
    newer.flatMap(({ incremental }) => incremental ?? []),
    [{ id: '0', data: { pages: 200, reviews } }],
  );
  assert.deepEqual(
    older.flatMap(({ incremental }) => incremental ?? []),
    [{ path: ['top', 0], data: { upc: 'p1', pages: 200, reviews } }],
  );
});

test('a root is deferred, and what has no key comes with what it stands in, in a part of its own', async () => {
  const root = await allParts('{ me { name } ... @defer { latest { body } } }', now);
  assert.deepEqual(root[0]?.data, { me: { name: 'Ada' } });
  assert.deepEqual(root[1]?.incremental, [
    { id: '0', data: { latest: [{ body: 'good' }, { body: 'long' }] } },
  ]);
  const mutation = 'mutation { rename(id: "u2", name: "G") { name ... @defer { role } } }';
  const changed = await allParts(mutation, old);
  assert.deepEqual(changed[0]?.data, { rename: { name: 'G' } });
  assert.deepEqual(changed[1]?.incremental, [{ path: ['rename'], data: { role: null } }]);
});

test('"if" decides, and an operation without a deferred fragment is answered whole', async () => {
  const query = 'query ($v: Boolean!) { me { name ... @defer(if: $v) { role } } }';
  assert.equal((await allParts(query, old, { v: true })).length, 2);
  const whole = await world.ask(query, {
    variables: { v: false },
    headers: { accept: `multipart/mixed; ${old}, application/json` },
  });
  assert.equal(whole.headers.get('content-type'), 'application/json; charset=utf-8');
  assert.deepEqual(whole.data, { me: { name: 'Ada', role: 'ADMIN' } });
});

test('refused fields and failures of subgraphs are errors of the part that they are in', async () => {
  const [first, second] = await allParts(
    '{ me { name ... @defer { email nickname } } ... @defer { broken { upc } } }',
    old,
  ).then(([one, ...others]) => [one, others.flatMap(({ incremental }) => incremental as Part[])]);
  assert.deepEqual(first, { data: { me: { name: 'Ada' } }, hasNext: true });
  const entries = second as Part[];
  const mine = entries.find(({ path }) => String(path) === 'me');
  assert.deepEqual(mine?.data, { email: null, nickname: 'Ada!' });
  const [refused] = (mine?.errors ?? []) as Part[];
  assert.equal(refused?.message, 'not allowed to read "User.email"');
  assert.deepEqual(refused?.path, ['me', 'email']);
  assert.deepEqual(refused?.extensions, { code: 'ERR_GRAPHQL_DENIED' });
  const root = entries.find(({ path }) => String(path) === '');
  assert.equal(root?.data, null);
  assert.match(JSON.stringify(root?.errors), /out of stock/);
});

test('who takes no parts is answered at once, who asks for parts of another make is told', async () => {
  const query = '{ me { name ... @defer { role } } }';
  const plain = await world.ask(query);
  assert.deepEqual(plain.data, { me: { name: 'Ada', role: 'ADMIN' } });
  const accept = 'multipart/mixed; deferSpec=20991231';
  const unknown = await world.ask(query, { headers: { accept } });
  assert.equal(unknown.status, 406);
  assert.match(unknown.errors?.[0]?.message ?? '', /deferSpec=20991231/);
});

test('@stream is refused by name, and so are too many parts', async () => {
  const streamed = await world.ask('{ users @stream { id } }');
  assert.match(streamed.errors?.[0]?.message ?? '', /"@stream"/);
  const many = Array.from({ length: 6 }, (_, i) => `... @defer { r${i}: role }`).join(' ');
  const refused = await world.ask(`{ me { id ${many} } }`, {
    headers: { accept: `multipart/mixed; ${now}` },
  });
  assert.equal(refused.errors?.[0]?.extensions?.code, 'ERR_GRAPHQL_LIMIT');
});

test('the same parts come over SSE to whoever names their format', async () => {
  const response = await fetch(`${world.router.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: `text/event-stream; ${now}` },
    body: JSON.stringify({ query: '{ me { name ... @defer { role } } }' }),
  });
  const text = await response.text();
  const events = text.split('\n').flatMap((line) => (/^data: ./.test(line) ? [line.slice(6)] : []));
  assert.deepEqual(
    events.map((each) => JSON.parse(each).hasNext),
    [true, false],
  );
});
