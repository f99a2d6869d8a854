import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { routerWorld, type World } from '../router-world.suite.ts';
import { type ShopService, serveShop, shopSet } from './shop-service.suite.ts';

const grpcYaml = `grpc:
      descriptor_set: shop.pb
      omit: [Slow]
      entities: [{ type: User, key: userId, method: BatchGetUsers, arguments: { userId: userIds }, result: users }]
      references: [{ type: User, field: favourite, entity: Product, key: id, from: favouriteProduct }]
      directives: { User.balance: '@allow(principals: ["spiffe://example.org/ns/default/sa/bank"])' }
    headers: { propagate: [x-request-id] }`;

const products = {
  name: 'products',
  sdl: `extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])
    type Query { product(id: ID!): Product products: [Product!]! }
    type Product @key(fields: "id") { id: ID! title: String buyer: User }
    type User @key(fields: "userId", resolvable: false) { userId: ID! }`,
  resolvers: {
    Query: {
      product: (_: unknown, { id }: { id: string }) => ({ id }),
      products: () => ['x', 'none', 'y'].map((id) => ({ id })),
    },
    Product: {
      __resolveReference: ({ id }: { id: string }) => ({ id }),
      title: ({ id }: { id: string }) => `Product ${id}`,
      buyer: ({ id }: { id: string }) => ({ userId: id === 'none' ? 'nobody' : 'u7' }),
    },
  },
};

let world: World;
let shop: ShopService;
before(async () => {
  world = await routerWorld({
    sources: [{ name: 'shop', sdl: '', resolvers: {} }, products],
    impostors: {
      async shop(ca) {
        shop = await serveShop({ ca, name: 'shop' });
        return shop;
      },
    },
    entries: { shop: grpcYaml },
    binaries: { 'shop.pb': shopSet },
    yaml: 'listen: { port: 0, client_mtls: optional }',
  });
});
after(() => world.close());

test('a method is a query: every kind of field comes as GraphQL has it', async () => {
  const { data, errors } = await world.ask(
    `{ getUser(userId: "u1") { userId fullName role createdAt email phone
        labels { key value } addresses { street floor } } }`,
  );
  assert.equal(errors, undefined);
  assert.deepEqual(data?.getUser, {
    ...{ userId: 'u1', fullName: 'User u1', role: 'ADMIN', createdAt: '2030-01-01T00:00:00.500Z' },
    ...{ email: 'u1@a.example', phone: null, labels: [{ key: 'team', value: 'red' }] },
    addresses: [
      { street: 'Main', floor: 0 },
      { street: 'Side', floor: null },
    ],
  });
});

test('messages as arguments, variables and lists reach the method; an empty answer is true', async () => {
  const { data } = await world.ask(
    'query ($f: FilterInput) { listUsers(filter: $f, count: 2) { users { userId } nextPageToken } }',
    { variables: { f: { role: 'GUEST', names: ['a', 'b'] } } },
  );
  assert.deepEqual(data?.listUsers, {
    users: [{ userId: 'u0' }, { userId: 'u1' }],
    nextPageToken: 'more',
  });
  const call = shop.calls.find(({ method }) => method === 'ListUsers');
  assert.deepEqual(call?.request, { filter: { role: 2, names: ['a', 'b'] }, count: 2 });
  const mutation = await world.ask(
    'mutation { renameUser(userId: "u1", fullName: "New") { fullName } forget }',
  );
  assert.deepEqual(mutation.data, { renameUser: { fullName: 'New' }, forget: true });
});

test('entities join in both directions, many by one call, and who is not known is null', async () => {
  shop.calls.length = 0;
  const { data, errors } = await world.ask(
    '{ products { id buyer { fullName favourite { title } } } }',
  );
  assert.equal(errors, undefined);
  const buyer = { fullName: 'User u7', favourite: { title: 'Product p1' } };
  const nobody = { fullName: null, favourite: null };
  assert.deepEqual(data?.products, [
    { id: 'x', buyer },
    { id: 'none', buyer: nobody },
    { id: 'y', buyer },
  ]);
  const asked = shop.calls.map(({ request }) => request);
  assert.deepEqual(asked, [{ userIds: ['u7', 'nobody'] }]);
});

test('the service is told who asks, by signed and plain metadata, and nothing that the caller claims', async () => {
  shop.calls.length = 0;
  const headers = { 'x-request-id': 'r1', 'x-forwarded-client-cert': 'Forged', other: 'no' };
  await world.ask('{ getUser(userId: "u1") { userId } }', { as: 'web', headers });
  const { metadata = {} } = shop.calls[0] ?? {};
  assert.equal(metadata['x-request-id'], 'r1');
  assert.equal(metadata.other, undefined);
  assert.match(metadata['x-forwarded-client-cert'] ?? '', /sa\/web/);
  assert.doesNotMatch(metadata['x-forwarded-client-cert'] ?? '', /Forged/);
  assert.match(metadata['x-countersign-hop'] ?? '', /^[\w-]+\.[\w-]+\.[\w-]+$/);
});

test('rules stand on fields of gRPC as on any others', async () => {
  const query = '{ getUser(userId: "u1") { balance } }';
  const refused = await world.ask(query, { as: 'web' });
  assert.deepEqual(refused.data, { getUser: { balance: null } });
  assert.equal(refused.errors?.[0]?.extensions?.code, 'ERR_GRAPHQL_DENIED');
  const allowed = await world.ask(query, { as: 'bank' });
  assert.deepEqual(allowed.data, { getUser: { balance: '9007199254740993' } });
});

test('a status is told where it is about what was asked, and the inside stays inside', async () => {
  const { data, errors } = await world.ask(
    '{ gone: getUser(userId: "x") { userId } boom: getUser(userId: "boom") { userId } ok: getUser(userId: "u2") { userId } }',
  );
  assert.deepEqual(data, { gone: null, boom: null, ok: { userId: 'u2' } });
  const [gone, boom] = ['gone', 'boom'].map((key) => errors?.find(({ path }) => path?.[0] === key));
  assert.equal(gone?.extensions?.code, 'ERR_SUBGRAPH_STATUS');
  assert.equal(gone?.extensions?.status, 'NOT_FOUND');
  assert.equal(boom?.extensions?.code, 'ERR_SUBGRAPH_UNAVAILABLE');
  assert.doesNotMatch(JSON.stringify(errors), /secret|no user/);
  const line = world.lines.find(({ id }) => id === boom?.extensions?.id);
  assert.match(String(line?.msg), /INTERNAL: secret innards/);
  assert.equal(line?.reason, 'status');
  assert.equal(line?.method, 'shop.v1.Users/GetUser');
});

test('arguments that the message cannot carry are refused before anything is sent', async () => {
  shop.calls.length = 0;
  const { errors } = await world.ask(
    '{ listUsers(count: 1, filter: { role: NOBODY }) { nextPageToken } }',
  );
  assert.equal(errors?.[0]?.extensions?.code, 'ERR_GRAPHQL_DOCUMENT');
  assert.equal(shop.calls.length, 0);
});
