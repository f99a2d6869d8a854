import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '@countersign/base';
import { hopHeader, verifyHop } from '@countersign/wire';
import { parseRouterConfig } from './config/router-config.ts';
import { explainOperation, formatOperationExplanation } from './explain-operation.ts';
import { checkSupergraph } from './offline-engine.ts';
import { routerWorld, type World } from './router-world.suite.ts';
import type { SubgraphSource } from './subgraph.suite.ts';

const staff: SubgraphSource = {
  name: 'staff',
  sdl: `extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key", "@authenticated", "@requiresScopes"])
type Query {
  ssns: [Ssn!]
  level: Level
  badge: Badge
  grade(of: [Grade], like: Like): Grade
  sameAs(ssn: Like): Int
  person(id: ID!, all: Boolean @allow(roles: ["admin"])): Person
  things: [Thing!]!
  hidden: Secret
  signedIn: String @authenticated
  forNobody: String @deny
}
interface Thing { id: ID! cost: Int }
type Person implements Thing @key(fields: "id") {
  id: ID!
  name: String
  cost: Int @allow(principals: ["spiffe://example.org/ns/default/sa/hr"], roles: ["admin"])
  notes: String! @deny(principals: ["spiffe://example.org/ns/default/sa/intern*"])
}
type Desk implements Thing { id: ID! cost: Int }
type Secret @allow(roles: ["admin"]) { word: String }
type Mutation { makeSecret: Secret }
scalar Ssn @authenticated
enum Level @requiresScopes(scopes: [["read:level"]]) { TOP LOW }
scalar Badge @allow(roles: ["admin"])
enum Grade { A B }
extend enum Grade @deny(roles: ["admin"])
input Like { ssns: [[Ssn!]!] like: Like n: Int }`,
  resolvers: {
    Query: {
      person: () => ({ id: 'p', name: 'Ada', cost: 7, notes: 'n' }),
      things: () => [
        { __typename: 'Person', id: 'p', cost: 7 },
        { __typename: 'Desk', id: 'd', cost: 9 },
      ],
      hidden: () => ({ word: 'x' }),
      ssns: () => ['1'],
      level: () => 'TOP',
      badge: () => 'b',
      grade: () => 'A',
      sameAs: () => 1,
      signedIn: () => 'yes',
      forNobody: () => 'no',
    },
  },
};

const yaml = `
listen: { port: 0, client_mtls: optional }
authorization: { roles: { admin: ["spiffe://example.org/ns/default/sa/root"] } }`;

let world: World;
before(async () => {
  world = await routerWorld({ sources: [staff], yaml });
});
after(() => world.close());

const cost = '{ person(id: "p") { name cost } }';

test('a field is for those that @allow names, by SPIFFE ID or role; for others null, with a code', async () => {
  for (const as of ['hr', 'root']) {
    const answer = await world.ask(cost, { as });
    assert.deepEqual(answer.data, { person: { name: 'Ada', cost: 7 } }, as);
    assert.equal(answer.errors, undefined);
  }
  for (const as of ['web', undefined]) {
    const answer = await world.ask(cost, as === undefined ? {} : { as });
    assert.deepEqual(answer.data, { person: { name: 'Ada', cost: null } });
    assert.deepEqual(answer.errors?.[0]?.path, ['person', 'cost']);
    assert.equal(answer.errors?.[0]?.extensions?.code, 'ERR_GRAPHQL_DENIED');
  }
});

test('what is refused is not even fetched', async () => {
  const { requests } = world.subgraphs.get('staff') ?? { requests: [] };
  await world.ask(cost, { as: 'web' });
  assert.doesNotMatch(requests.at(-1)?.body.query ?? '', /cost/);
  await world.ask(cost, { as: 'hr' });
  assert.match(requests.at(-1)?.body.query ?? '', /cost/);
});

test('@deny is for those that it names, and a null that may not be goes up to where it may', async () => {
  const query = '{ person(id: "p") { name notes } }';
  assert.deepEqual((await world.ask(query, { as: 'web' })).data, {
    person: { name: 'Ada', notes: 'n' },
  });
  const intern = await world.ask(query, { as: 'intern-7' });
  assert.deepEqual(intern.data, { person: null });
  assert.deepEqual((await world.ask('{ forNobody }', { as: 'root' })).data, { forNobody: null });
});

test('an argument has rules of its own, asked where it is given', async () => {
  const query = '{ person(id: "p", all: true) { name } }';
  assert.deepEqual((await world.ask(query, { as: 'web' })).data, { person: null });
  assert.deepEqual((await world.ask(query, { as: 'root' })).data, { person: { name: 'Ada' } });
});

test('through an interface, each object is judged by the rules of its own type', async () => {
  const answer = await world.ask('{ things { id cost } }', { as: 'web' });
  assert.deepEqual(answer.data, {
    things: [
      { id: 'p', cost: null },
      { id: 'd', cost: 9 },
    ],
  });
  assert.deepEqual(
    answer.errors?.map(({ path }) => path),
    [['things', 0, 'cost']],
  );
});

test('a type cannot be passed off as another by an alias', async () => {
  const answer = await world.ask('{ things { cost __typename: id } }', { as: 'web' });
  assert.match(answer.errors?.[0]?.message ?? '', /alias "__typename" is reserved/);
});

test('a rule on a type binds all of its fields, and aliases hide nothing', async () => {
  assert.deepEqual((await world.ask('{ a: hidden { b: word } }', { as: 'web' })).data, { a: null });
  assert.deepEqual((await world.ask('{ hidden { word } }', { as: 'root' })).data, {
    hidden: { word: 'x' },
  });
});

test('a rule on a scalar or an enum binds every field that gives it and every argument that takes it', async () => {
  const query = '{ ssns level badge grade }';
  const stranger = await world.ask(query);
  assert.deepEqual(stranger.data, { ssns: null, level: null, badge: null, grade: 'A' });
  const codes = stranger.errors?.map(({ path, extensions }) => [path?.[0], extensions?.code]);
  const places = ['ssns', 'level', 'badge'];
  assert.deepEqual(
    codes,
    places.map((each) => [each, 'ERR_GRAPHQL_DENIED']),
  );
  const root = await world.ask(query, { as: 'root' });
  assert.deepEqual(root.data, { ssns: ['1'], level: null, badge: 'b', grade: null });
  const given = '{ sameAs(ssn: { like: { n: 1, ssns: [["1"]] } }) }';
  assert.deepEqual((await world.ask(given)).data, { sameAs: null });
  assert.deepEqual((await world.ask(given, { as: 'web' })).data, { sameAs: 1 });
  assert.deepEqual((await world.ask('{ sameAs(ssn: { like: { n: 1 } }) }')).data, { sameAs: 1 });
  const byVariable = 'query ($like: Like) { sameAs(ssn: $like) }';
  assert.deepEqual((await world.ask(byVariable)).data, { sameAs: null });
});

test('a mutation that would give what the caller must not see is not run', async () => {
  const { requests } = world.subgraphs.get('staff') ?? { requests: [] };
  const before = requests.length;
  const answer = await world.ask('mutation { makeSecret { word __typename } }', { as: 'web' });
  assert.deepEqual(answer.data, { makeSecret: null });
  assert.equal(requests.length, before);
});

test('@authenticated asks for an identity, whosever it is', async () => {
  assert.deepEqual((await world.ask('{ signedIn }')).data, { signedIn: null });
  assert.deepEqual((await world.ask('{ signedIn }', { as: 'web' })).data, { signedIn: 'yes' });
});

test('subgraphs are told who the caller is, and not what it says of itself', async () => {
  const { requests } = world.subgraphs.get('staff') ?? { requests: [] };
  await world.ask('{ things { id } }', {
    as: 'web',
    headers: { 'x-forwarded-client-cert': 'URI=spiffe://example.org/ns/default/sa/root' },
  });
  const told = requests.at(-1)?.headers['x-forwarded-client-cert'] ?? '';
  assert.match(String(told), /URI=spiffe:\/\/example\.org\/ns\/default\/sa\/web/);
  assert.doesNotMatch(String(told), /\bsa\/root\b/);
  const router = world.identity.svid();
  const verdict = verifyHop(String(requests.at(-1)?.headers[hopHeader]), {
    leaf: router.leaf,
    issuer: router.spiffeId.toString(),
    audience: 'spiffe://example.org/ns/default/sa/staff',
    at: systemClock.now(),
  });
  assert.equal(verdict.ok && verdict.claims.subject, 'spiffe://example.org/ns/default/sa/web');
  await world.ask('{ things { id } a: things { id } }');
  assert.equal(requests.at(-1)?.headers[hopHeader], undefined);
  assert.equal(requests.at(-1)?.headers['x-forwarded-client-cert'], undefined);
});

test('by configuration the whole operation is refused, and whoever is no caller is not heard', async () => {
  const strict = await routerWorld({
    sources: [staff],
    yaml: `
listen: { port: 0, client_mtls: required }
authorization: { on_refused: reject, callers: ["spiffe://example.org/ns/default/sa/web"] }`,
  });
  try {
    const answer = await strict.ask(cost, { as: 'web' });
    assert.equal(answer.data, undefined);
    assert.equal(answer.errors?.[0]?.extensions?.code, 'ERR_GRAPHQL_DENIED');
    assert.equal((await strict.ask('{ things { id } }', { as: 'web' })).errors, undefined);
    assert.equal((await strict.ask('{ things { id } }', { as: 'other' })).status, 403);
    const before = strict.subgraphs.get('staff')?.requests.length;
    assert.equal(before, 1);
    const skippable =
      'query ($no: Boolean!) { person(id: "p") { name ...c @include(if: $no) } } fragment c on Person { cost }';
    const skipped = await strict.ask(skippable, { as: 'web', variables: { no: false } });
    assert.deepEqual(skipped.data, { person: { name: 'Ada' } });
    const there = await strict.ask(skippable, { as: 'web', variables: { no: true } });
    assert.equal(there.errors?.[0]?.extensions?.code, 'ERR_GRAPHQL_DENIED');
    assert.equal(there.data, undefined);
    assert.equal(strict.subgraphs.get('staff')?.requests.length, 2);
  } finally {
    await strict.close();
  }
});

test('a rule that would not be held as it was meant is an error of composition, an unknown role a note', async () => {
  const config = parseRouterConfig(
    'subgraphs: [{ name: a, url: "https://localhost:1/", schema: a.graphql }]',
    'router.yaml',
    {},
  );
  const check = (sdl: string) =>
    checkSupergraph(config, { readText: async () => sdl, readBytes: async () => new Uint8Array() });
  const wrong: readonly (readonly [string, RegExp])[] = [
    [
      'a: Int @allow(role: ["x"])',
      /a\.graphql: @allow on Query\.a has the argument "role".*"roles"/,
    ],
    ['a: Int @deny(principals: ["sa/web"])', /@deny on Query\.a has the principal "sa\/web"/],
    ['a: Int @deny(roles: [1])', /@deny on Query\.a has 1, expected a string/],
  ];
  for (const [field, message] of wrong) {
    await assert.rejects(check(`type Query { ${field} }`), {
      code: 'ERR_ROUTER_SUPERGRAPH',
      message,
    });
  }
  const stray = ['enum E { A @deny } ', 'union U @deny = V ', 'input I { b: Int @allow } '];
  for (const each of stray) {
    const sdl = `${each}type V { v: Int } type Query { a: Int }`;
    await assert.rejects(check(sdl), { message: /where it cannot be held/ }, each);
  }
  assert.deepEqual(await check('type Query { a: Int @deny(roles: "nosuch") }'), [
    '@deny on Query.a names the role "nosuch", which authorization.roles does not have',
  ]);
});

test('explain says by whom each fetch goes, to whom, and what is refused and why', async () => {
  const config = parseRouterConfig(
    `mtls: { trust_domain: example.org }
subgraphs: [{ name: staff, url: "https://localhost:1/", schema: staff.graphql }]
authorization: { roles: { admin: ["spiffe://example.org/ns/default/sa/root"] } }`,
    'router.yaml',
    {},
  );
  const files = { readText: async () => staff.sdl, readBytes: async () => new Uint8Array() };
  const question = { config, files, query: cost };
  const web = await explainOperation({ ...question, as: 'spiffe://example.org/ns/default/sa/web' });
  assert.deepEqual(
    web.refused.map(({ coordinate }) => coordinate),
    ['Person.cost'],
  );
  assert.match(web.refused[0]?.reason ?? '', /sa\/web.*allowed are.*sa\/hr.*role "admin"/);
  const text = formatOperationExplanation(web);
  assert.match(text, /as spiffe:\/\/example\.org\/ns\/default\/sa\/router, to .*\/sa\/staff alone/);
  const root = await explainOperation({
    ...question,
    as: 'spiffe://example.org/ns/default/sa/root',
  });
  assert.deepEqual([root.refused, root.caller.roles], [[], ['admin']]);
});
