import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { Agent, fetch, Pool } from 'undici';
import { collectingMeter, routerWorld, type World } from './router-world.suite.ts';
import { shop } from './shop.suite.ts';
import { failureOf } from './subgraph/failure.ts';
import { sendRequest } from './subgraph/send-request.ts';

const counted = collectingMeter();
let world: World;
before(async () => {
  world = await routerWorld({
    sources: shop,
    meter: counted.meter,
    yaml: `
listen: { port: 0, client_mtls: optional }
slow_operation: 0
errors: { subgraph_messages: redact }
telemetry: { max_operations: 2, max_callers: 1 }`,
  });
});
after(() => world.close());

const web = 'spiffe://example.org/ns/default/sa/web';

test('a slow operation says in the log where its time went', async () => {
  await world.ask('query Slow { me { name reviews { of { title } } } }', { as: 'web' });
  const line = world.lines.find(({ operation }) => operation === 'Slow');
  assert.equal(line?.msg, 'slow operation');
  assert.equal(line?.caller, web);
  const fetches = line?.fetches as { subgraph: string; atMs: number; ms: number; result: string }[];
  assert.ok(fetches.length >= 2);
  const asked = [...world.subgraphs.values()].filter(({ requests }) => requests.length > 0);
  const names = new Set(fetches.map(({ subgraph }) => subgraph));
  assert.deepEqual(names, new Set(asked.map(({ name }) => name)));
  for (const { atMs, ms, result } of fetches) {
    assert.equal(result, 'ok');
    assert.ok(atMs >= 0 && ms >= 0 && atMs + ms <= Number(line?.elapsedMs) + 1);
  }
});

test('operations are counted by name and by caller, strangers by what they are, and names of theirs are bounded', async () => {
  await world.ask('query One { me { name } }', { as: 'web' });
  for (const name of ['Two', 'Three', 'Four']) await world.ask(`query ${name} { me { name } }`);
  await world.ask('{ me { name } }', { as: 'other' });
  await world.ask('{ nothing }', { as: 'web' });
  const named = (operation: string) =>
    counted.of('countersign_named_operations_total', { operation });
  assert.equal(named('Slow'), 1);
  assert.equal(named('One'), 1);
  assert.equal(named('other'), 3);
  assert.equal(named('unnamed'), 2);
  const by = (caller: string, result: string) =>
    counted.of('countersign_caller_operations_total', { caller, result });
  assert.equal(by(web, 'none'), 2);
  assert.equal(by(web, 'ERR_GRAPHQL_DOCUMENT'), 1);
  assert.equal(by('stranger', 'none'), 3);
  assert.equal(by('other', 'none'), 1);
  assert.equal(counted.of('countersign_named_operation_seconds', { operation: 'One' }), 1);
  assert.equal(counted.of('countersign_operations_total', { kind: 'query', result: 'none' }), 6);
});

test('subgraphs are counted by result and by who answered, with the end of what they showed', async () => {
  for (const { name, peer, peerNotAfter = '' } of world.router.status().subgraphs) {
    if (peer === undefined) continue;
    const expected = `spiffe://example.org/ns/default/sa/${name}`;
    const connections = { subgraph: name, peer: expected };
    assert.ok(counted.of('countersign_subgraph_connections_total', connections) > 0, name);
    assert.equal(
      counted.of('countersign_subgraph_certificate_not_after_seconds', { subgraph: name }),
      Date.parse(peerNotAfter) / 1000,
    );
    assert.ok(
      counted.of('countersign_subgraph_requests_total', { subgraph: name, result: 'ok' }) > 0,
    );
  }
});

test('requests that come to no operation are told and counted, and so are operations that stream', async () => {
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
  const post = (headers: Readonly<Record<string, string>>, body: string) =>
    fetch(`${world.router.url}/graphql`, {
      ...{ method: 'POST', headers, body, dispatcher },
    }).then((response) => response.text());
  const json = { 'content-type': 'application/json' };
  await post(json, '{"extensions":{"persistedQuery":{"sha256Hash":"x"}}}');
  await post(json, 'no JSON');
  await post({ 'content-type': 'text/plain', origin: 'https://elsewhere.example' }, '{}');
  for (const code of ['ERR_GRAPHQL_PERSISTED', 'ERR_GRAPHQL_REQUEST', 'ERR_GRAPHQL_CSRF']) {
    assert.ok(world.lines.some((each) => each.code === code && /request refused: /.test(each.msg)));
    const labels = { kind: 'refused', result: code };
    assert.equal(counted.of('countersign_operations_total', labels), 1, code);
  }
  const streamed = { ...json, accept: 'text/event-stream' };
  await post(streamed, JSON.stringify({ query: 'query Streamed { me { name } }' }));
  await post(
    streamed,
    JSON.stringify({ query: 'query Unfit { nothing }', operationName: 'Unfit' }),
  );
  const [done, unfit] = ['Streamed', 'Unfit'].map((name) =>
    world.lines.find(({ operation, over }) => operation === name && over !== undefined),
  );
  assert.deepEqual([done?.over, done?.answers, done?.errors, done?.kind], ['sse', 1, 0, 'query']);
  assert.deepEqual([unfit?.code, unfit?.kind], ['ERR_GRAPHQL_DOCUMENT', 'refused']);
  await dispatcher.close();
});

test('what a subgraph writes into its errors is for the log alone, where that is set', async () => {
  const { data, errors } = await world.ask('{ price: broken { upc } }');
  assert.equal(data, null);
  const [error] = errors ?? [];
  assert.deepEqual(error?.path, ['price']);
  assert.equal(error?.message, 'a subgraph answered with an error');
  const line = world.lines.find(({ id }) => id === error?.extensions?.id);
  assert.match(JSON.stringify(line?.errors), /out of stock/);
  assert.doesNotMatch(JSON.stringify(errors), /out of stock/);
});

test('an answer of a subgraph beyond the limit has a reason of its own', async () => {
  const server = createServer((_request, response) => response.end('x'.repeat(5000)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const sent = sendRequest(new Pool(`http://127.0.0.1:${port}`), {
    ...{ path: '/', headers: [], body: '', maxResponseBytes: 1000, signal: undefined },
  });
  const thrown = await sent.catch((reason: unknown) => reason);
  assert.equal(failureOf(thrown).reason, 'too-large');
  server.closeAllConnections();
  server.close();
});
