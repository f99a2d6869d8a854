import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { testCa } from '@countersign/testkit';
import { auditServer } from 'graphql-http';
import { Agent, fetch } from 'undici';
import { clientPem, routerWorld, type World } from '../router-world.suite.ts';
import { shop } from '../shop.suite.ts';

let world: World;
let agent: Agent;
before(async () => {
  world = await routerWorld({
    sources: shop.slice(0, 1),
    yaml: `
listen: { port: 0, client_mtls: required }
limits: { max_batch: 10 }
cors: { origins: ["https://app.example.com"] }`,
  });
  agent = new Agent({ connect: { ...clientPem(world.ca, 'web'), rejectUnauthorized: false } });
});
after(async () => {
  await agent.destroy();
  await world.close();
});

function send(init: Parameters<typeof fetch>[1] & object, path = '/graphql') {
  return fetch(`${world.router.url}${path}`, { ...init, dispatcher: agent });
}

function post(body: unknown, headers: Record<string, string> = {}) {
  const all = { 'content-type': 'application/json', ...headers };
  return send({ method: 'POST', headers: all, body: JSON.stringify(body) });
}

test('through mTLS, every MUST, SHOULD and MAY of GraphQL over HTTP holds', async () => {
  const results = await auditServer({
    url: `${world.router.url}/graphql`,
    fetchFn: (url: string, init: object) => fetch(url, { ...init, dispatcher: agent }),
  });
  const failed = results.filter(({ status }) => status !== 'ok');
  assert.deepEqual(
    failed.map(({ name, status }) => `${status}: ${name}`),
    [],
  );
  assert.ok(results.length > 50);
});

test('a client without a certificate, or with a foreign one, is told a code and nothing else', async () => {
  const foreign = clientPem(testCa({ name: 'somebody else' }), 'web');
  const cases = [
    [{}, 'ERR_TLS_CLIENT_CERTIFICATE_MISSING'],
    [foreign, 'ERR_PEER_UNTRUSTED'],
  ] as const;
  for (const [pem, code] of cases) {
    const stranger = new Agent({ connect: { ...pem, rejectUnauthorized: false } });
    const url = `${world.router.url}/graphql?query={__typename}`;
    const response = await fetch(url, { dispatcher: stranger });
    assert.equal(response.status, 403);
    const answer = (await response.json()) as { errors: { extensions: object }[] };
    assert.deepEqual(answer, {
      errors: [{ message: 'the connection is not accepted', extensions: { code } }],
    });
    await stranger.destroy();
  }
});

test('a mutation by GET changes nothing', async () => {
  const query = 'mutation { rename(id: "u1", name: "x") { id } }';
  const before = world.subgraphs.get('users')?.requests.length;
  const response = await send({}, `/graphql?query=${encodeURIComponent(query)}`);
  assert.equal(response.status, 405);
  assert.equal(world.subgraphs.get('users')?.requests.length, before);
});

test('what a foreign page could send without asking is refused, an allowed origin and programs are not', async () => {
  const path = `/graphql?query=${encodeURIComponent('{ __typename }')}`;
  const foreign = await send({ headers: { 'sec-fetch-site': 'cross-site' } }, path);
  assert.equal(foreign.status, 403);
  const simple = { method: 'POST', headers: { 'content-type': 'text/plain' }, body: '{}' };
  assert.equal((await send(simple)).status, 415);
  const origin = 'https://app.example.com';
  const allowed = await send({ headers: { 'sec-fetch-site': 'cross-site', origin } }, path);
  assert.equal(allowed.headers.get('access-control-allow-origin'), origin);
  assert.equal(allowed.status, 200);
  assert.equal((await send({}, path)).status, 200);
  const asked = { origin, 'access-control-request-method': 'POST' };
  const preflight = await send({ method: 'OPTIONS', headers: asked });
  assert.equal(preflight.headers.get('access-control-allow-origin'), origin);
});

test('a batch is answered in its order, one beyond the limit is refused whole', async () => {
  const response = await post([{ query: '{ me { id } }' }, { query: '{ nope }' }]);
  const answers = (await response.json()) as { data?: unknown; errors?: unknown[] }[];
  assert.deepEqual(answers[0]?.data, { me: { id: 'u1' } });
  assert.equal(answers[1]?.errors?.length, 1);
  const many = await post(new Array(1000).fill({ query: '{ me { id } }' }));
  assert.equal(many.status, 400);
});

test('a persisted query is sent once, then by its hash alone; a wrong hash is refused', async () => {
  const query = '{ me { name } }';
  const sha256Hash = createHash('sha256').update(query).digest('hex');
  const extensions = { persistedQuery: { version: 1, sha256Hash } };
  const unknown = (await (await post({ extensions })).json()) as {
    errors: { extensions: { code: string } }[];
  };
  assert.equal(unknown.errors[0]?.extensions.code, 'PERSISTED_QUERY_NOT_FOUND');
  await post({ query, extensions });
  assert.deepEqual(await (await post({ extensions })).json(), { data: { me: { name: 'Ada' } } });
  const other = await post({ query: '{ me { id } }', extensions });
  assert.equal(other.status, 400);
  const second = await post({ extensions: { persistedQuery: { version: 2, sha256Hash } } });
  assert.match(await second.text(), /PERSISTED_QUERY_NOT_SUPPORTED/);
});

test('bodies that are too large, encoded or no operation are refused for what they are', async () => {
  const large = await post({ query: `{ me { id } } #${'x'.repeat(1_100_000)}` });
  assert.equal(large.status, 413);
  const encoded = await post({ query: '{ me { id } }' }, { 'content-encoding': 'gzip' });
  assert.equal(encoded.status, 415);
  assert.equal((await post('{ me }')).status, 400);
  const raw = (body: string) =>
    send({ method: 'POST', headers: { 'content-type': 'application/json' }, body });
  // Nested as deep as is let through, brackets in strings aside; and deeper.
  const nested = (n: number) =>
    `{"query":"{__typename}","extensions":{"\\"[{":${'['.repeat(n)}${']'.repeat(n)}}}`;
  assert.equal((await raw(nested(98))).status, 200);
  const deep = await raw(nested(100_000));
  assert.match(await deep.text(), /ERR_GRAPHQL_LIMIT/);
  const query = `query=%7B__typename%7D&variables=${encodeURIComponent(`{"a":${'['.repeat(200)}`)}`;
  assert.equal((await send({}, `/graphql?${query}`)).status, 400);
  const missing = await send({}, '/nowhere');
  assert.equal(missing.status, 404);
});

test('a browser gets a page that loads nothing from elsewhere', async () => {
  const response = await send({ headers: { accept: 'text/html' } });
  assert.match(response.headers.get('content-type') ?? '', /text\/html/);
  assert.match(response.headers.get('content-security-policy') ?? '', /default-src 'none'/);
  assert.doesNotMatch(await response.text(), /src="http|href="http/);
});

test('health says how the router and each subgraph are', async () => {
  await post({ query: '{ me { id } }' });
  const health = (await (await send({}, '/health/mtls')).json()) as {
    subgraphs: { name: string; peer: string }[];
  };
  assert.deepEqual(
    health.subgraphs.map(({ name, peer }) => [name, peer]),
    [['users', 'spiffe://example.org/ns/default/sa/users']],
  );
});
