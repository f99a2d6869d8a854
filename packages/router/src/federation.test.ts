import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { routerWorld, type World } from './router-world.suite.ts';
import { shop } from './shop.suite.ts';

let world: World;
before(async () => {
  world = await routerWorld({ sources: shop });
});
after(() => world.close());

/** Each case is one feature of federation, every hop of it over mTLS. */
const cases: readonly {
  readonly what: string;
  readonly query: string;
  readonly variables?: object;
  readonly data: unknown;
  readonly errors?: RegExp;
}[] = [
  {
    what: 'an entity is completed by another subgraph, by its key',
    query: '{ me { name reviews { body } } }',
    data: { me: { name: 'Ada', reviews: [{ body: 'good' }] } },
  },
  {
    what: 'an alias that is a key is not taken for it',
    query: '{ user(id: "u1") { id: name name: id reviews { id: body } } }',
    data: { user: { id: 'Ada', name: 'u1', reviews: [{ id: 'good' }] } },
  },
  {
    what: '@requires takes fields of one subgraph to another',
    query: '{ product(upc: "p1") { ... on Book { postage } } }',
    data: { product: { postage: 12 } },
  },
  {
    what: '@provides spares a fetch, and what it provides is used',
    query: '{ latest { author { name } } }',
    data: { latest: [{ author: { name: 'Ada (as reviews has it)' } }, { author: null }] },
  },
  {
    what: 'an interface is one of several types, each with its own fields',
    query: '{ top { __typename title ... on Book { pages } ... on Lamp { watts } } }',
    data: {
      top: [
        { __typename: 'Book', title: 'Notes', pages: 200 },
        { __typename: 'Lamp', title: 'Lamp', watts: 40 },
      ],
    },
  },
  {
    what: 'a union spans subgraphs, entities of each type completed by whoever has them',
    query: '{ search { __typename ... on User { name } ... on Book { reviews { id } } } }',
    data: {
      search: [
        { __typename: 'Lamp' },
        { __typename: 'User', name: 'Grace' },
        { __typename: 'Book', reviews: [{ id: 'r1' }, { id: 'r2' }] },
      ],
    },
  },
  {
    what: 'an interface object adds a field to every type of an interface',
    query: '{ top { upc stock } }',
    data: {
      top: [
        { upc: 'p1', stock: 3 },
        { upc: 'p2', stock: 0 },
      ],
    },
  },
  {
    what: '@override takes a field from the subgraph that had it',
    query: '{ me { nickname } }',
    data: { me: { nickname: 'Ada!' } },
  },
  {
    what: 'an enum value that is inaccessible is null, another is passed on',
    query: '{ viewerKind users { role } }',
    data: { viewerKind: null, users: [{ role: 'ADMIN' }, { role: null }] },
  },
  {
    what: 'a null key is not asked about, and stays null',
    query: '{ top { ... on Book { maker { country } } ... on Lamp { maker { country } } } }',
    data: { top: [{ maker: { country: 'DE' } }, { maker: null }] },
  },
  {
    what: 'a mutation goes to its subgraph, and its answer is completed',
    query: 'mutation { rename(id: "u1", name: "Countess") { name reviews { id } } }',
    data: { rename: { name: 'Countess', reviews: [{ id: 'r1' }] } },
  },
  {
    what: '@skip and @include go by variables, and by their defaults',
    query:
      'query ($on: Boolean = false, $off: Boolean!) { me { name email @include(if: $on) reviews @skip(if: $off) { id } } }',
    variables: { off: true },
    data: { me: { name: 'Ada' } },
  },
  {
    what: 'selections of one field under different conditions are one field',
    query:
      'query ($on: Boolean!) { me { reviews { id } reviews @include(if: $on) { body } ... @skip(if: $on) { email } } }',
    variables: { on: true },
    data: { me: { reviews: [{ id: 'r1', body: 'good' }] } },
  },
  {
    what: 'fragments, aliases and variables are those of the caller',
    query:
      'query Q($id: ID!) { a: user(id: $id) { ...F } b: user(id: "u1") { ...F } } fragment F on User { n: name __typename }',
    variables: { id: 'u2' },
    data: { a: { n: 'Grace', __typename: 'User' }, b: { n: 'Ada', __typename: 'User' } },
  },
  {
    what: 'what may be deferred is answered with the rest',
    query:
      '{ me { id ... @defer { name } ...F @defer(label: "f") } } fragment F on User { reviews { body } }',
    data: { me: { id: 'u1', name: 'Ada', reviews: [{ body: 'good' }] } },
  },
  {
    what: 'introspection and data are answered together',
    query: '{ __typename __type(name: "Role") { enumValues { name } } me { id } }',
    data: {
      __typename: 'Query',
      __type: { enumValues: [{ name: 'ADMIN' }, { name: 'READER' }] },
      me: { id: 'u1' },
    },
  },
  {
    what: 'a failing subgraph field is an error at its place, and a null as far up as it must be',
    query: '{ broken { upc } }',
    data: null,
    errors: /out of stock/,
  },
];

for (const { what, query, variables = {}, data, errors } of cases) {
  test(what, async () => {
    const answer = await world.ask(query, { variables });
    if (errors === undefined) assert.deepEqual(answer.errors, undefined);
    else assert.match(answer.errors?.map(({ message }) => message).join('\n') ?? '', errors);
    assert.deepEqual(answer.data, data);
    assert.equal(answer.status, 200);
  });
}

test('what is inaccessible is not in the schema, and cannot be asked for', async () => {
  const answer = await world.ask('{ me { secret } }');
  assert.match(answer.errors?.[0]?.message ?? '', /Cannot query field "secret"/);
  assert.equal(answer.data, undefined);
});

test('every subgraph saw the router by its SPIFFE ID, and nobody else', () => {
  for (const { name, requests } of world.subgraphs.values()) {
    assert.ok(requests.length > 0, `subgraph "${name}" was asked`);
    const peers = new Set(requests.map(({ peer }) => peer));
    assert.deepEqual([...peers], ['spiffe://example.org/ns/default/sa/router']);
  }
});

test('equal entities are asked for once', async () => {
  const { requests } = world.subgraphs.get('users') ?? { requests: [] };
  const before = requests.length;
  const answer = await world.ask(
    '{ latest { of { upc } author { email } } a: latest { author { email } } }',
  );
  assert.equal(answer.errors, undefined);
  const asked = requests.slice(before).flatMap(({ body }) => Object.values(body.variables ?? {}));
  assert.deepEqual(asked, [[{ __typename: 'User', id: 'u1' }]]);
});

test('an error stands at the alias that the caller gave, whatever the field is fetched as', async () => {
  const { data, errors } = await world.ask('{ price: broken { upc } }');
  assert.equal(data, null);
  assert.deepEqual(errors?.[0]?.path, ['price']);
});
