import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRouterConfig } from '../config/router-config.ts';
import { explainOperation, formatOperationExplanation } from '../explain-operation.ts';
import { selectMethods } from './select-methods.ts';
import { shopSet } from './shop-service.suite.ts';

test('a plan says which methods are called, by whom and of whom', async () => {
  const text = `
mtls: { trust_domain: example.org }
subgraphs: [{ name: shop, url: "grpcs://shop.internal:8443", grpc: { descriptor_set: shop.pb } }]`;
  const explained = await explainOperation({
    config: parseRouterConfig(text, 'router.yaml', {}),
    files: { readText: async () => '', readBytes: async () => shopSet },
    query: '{ getUser(userId: "1") { userId } listUsers { nextPageToken } }',
    as: undefined,
  });
  const said = formatOperationExplanation(explained);
  assert.match(said, /calls shop\.v1\.Users\/GetUser\n.*calls shop\.v1\.Users\/ListUsers/);
  assert.match(said, /as spiffe:\/\/example\.org\/ns\/default\/sa\/router, to spiffe:.*\/sa\/shop/);
});

const refused: readonly (readonly [string, RegExp])[] = [
  ['grpc: { descriptor: x }', /unknown key "descriptor"/],
  ['grpc: {}', /"descriptor_set" or "reflection: true" is expected, neither/],
  ['grpc: { descriptor_set: a, reflection: true }', /both are given/],
  ['schema: a, grpc: { reflection: true }', /schema: is not read/],
  ['url: "grpcs://a/path", grpc: { reflection: true }', /expected grpcs:\/\/host\[:port\]/],
];
for (const [entry, message] of refused) {
  test(`refused in router.yaml: ${entry}`, () => {
    const url = entry.startsWith('url') ? '' : 'url: "grpcs://a", ';
    const text = `subgraphs: [{ name: a, ${url}${entry} }]`;
    assert.throws(() => parseRouterConfig(text, 'router.yaml', {}), message);
  });
}

const misfits: readonly (readonly [string, RegExp])[] = [
  ['services: [shop.v1.Orders]', /no service "shop.v1.Orders" is described/],
  ['queries: [GetAll]', /"GetAll" is no method of "shop.v1.Users\/GetUser", /],
  ['mutations: [Upload]', /takes a stream/],
  ['names: { shop.v1.User: Address, shop.v1.User.Address: Address }', /are both "Address"/],
  ['names: { shop.v1.Users/ListUsers: getUser }', /are both "Query.getUser"/],
  ['entities: [{ type: User, key: id, method: GetUser }]', /takes no "id"/],
  ['entities: [{ type: Human, key: userId, method: GetUser }]', /answers "User", not "Human"/],
  ['directives: { User.nothing: "@deny" }', /nothing in the schema is "User.nothing"/],
  ['directives: { User.userId: "@deny(" }', /directives: Syntax Error/],
];
for (const [rule, message] of misfits) {
  test(`does not fit what the set describes: ${rule}`, async () => {
    const text = `subgraphs: [{ name: shop, url: "grpcs://a", grpc: { descriptor_set: a, ${rule} } }]`;
    const question = {
      config: parseRouterConfig(text, 'router.yaml', {}),
      files: { readText: async () => '', readBytes: async () => shopSet },
    };
    const asked = explainOperation({ ...question, query: '{ getUser { userId } }', as: undefined });
    await assert.rejects(asked, (thrown: { code?: string; message: string }) => {
      assert.equal(thrown.code, 'ERR_ROUTER_PROTO');
      assert.match(thrown.message, message);
      return true;
    });
  });
}

test('what changes something by its name is no query, whatever the name begins with', () => {
  const names = ['GetUser', 'ListTermsAndOrders', 'GetOrCreateUser', 'ReadAndClear', 'Getaway'];
  const methods = names.map((name) => ({
    ...{ path: `a.B/${name}`, service: 'a.B', name, input: 'a.I', output: 'a.O' },
    ...{ isClientStream: false, isServerStream: false, isSafe: false },
  }));
  const text = 'subgraphs: [{ name: a, url: "grpcs://a", grpc: { reflection: true } }]';
  const { grpc } = parseRouterConfig(text, 'router.yaml', {}).subgraphs[0] ?? {};
  assert.ok(grpc);
  const bound = selectMethods({ methods, messages: new Map(), enums: new Map() }, grpc);
  const queries = bound.filter(({ root }) => root === 'Query').map(({ field }) => field);
  assert.deepEqual(queries, ['getUser', 'listTermsAndOrders']);
});
