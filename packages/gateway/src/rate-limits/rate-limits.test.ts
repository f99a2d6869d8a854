import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRoleMapping } from '@countersign/authz';
import { parseConfigText } from '@countersign/config';
import { testClock } from '@countersign/testkit';
import { compileEnvoy } from '../envoy/compile-envoy.ts';
import { parseGatewayConfig } from '../gateway-config.ts';
import { alice, clientOf, credentialOf, idOf, startWorld } from '../gateway-world.suite.ts';
import type { RateLimitModel } from '../model/rate-limit-model.ts';
import { numberedUpstreams } from '../upstream-world.suite.ts';
import { TokenBuckets } from './token-buckets.ts';

test('each identity has its own limit, by class, header or address too, and is told when to come again', async (t) => {
  const { ports } = await numberedUpstreams(t, 1);
  const upstream = `upstream: { url: "http://127.0.0.1:${ports[0]}" }`;
  const yaml = `listen: { port: 0, rateLimits: [{ by: all, requests: 1000, per: 1s, headers: false }] }
routes:
  - match: { pathPrefix: /identity }
    ${upstream}
    rateLimits: [{ requests: 2, per: 10s }]
  - match: { pathPrefix: /class }
    respond: { status: 204 }
    rateLimits: [{ requests: 1, per: 10s, rateClass: slow }]
  - match: { pathPrefix: /header }
    ${upstream}
    rateLimits: [{ by: { header: X-Tenant }, requests: 1, per: 10s, headers: false }]
  - match: {}
    ${upstream}
    rateLimits: [{ by: address, requests: 3, per: 10s }, { by: rateClass, requests: 2, per: 10s }]
`;
  const roles = parseRoleMapping(
    `identities: [{ match: { spiffeIds: ["${idOf('alice')}"] }, rateClass: slow }]\n`,
    'roles.yaml',
  );
  const clock = testClock(Date.now());
  const config = parseGatewayConfig(yaml, 'gateway.yaml');
  const { gateway } = await startWorld(t, 'https://unused.test', { config, clock, roles });
  const one = clientOf(t, gateway.url, alice);
  const other = clientOf(t, gateway.url, credentialOf('bob'));
  const statusOf = async (client: typeof one, path: string, headers = {}) =>
    (await client.ask(path, { headers })).status;

  const first = await one.ask('/identity');
  assert.equal(first.headers['ratelimit-policy'], '"routes.0.rateLimits.0";q=2;w=10');
  assert.equal(first.headers.ratelimit, '"routes.0.rateLimits.0";r=1;t=5');
  assert.equal(await statusOf(one, '/identity'), 200);
  const refused = await one.ask('/identity');
  assert.equal(refused.status, 429);
  assert.match(refused.body, /ERR_GATEWAY_RATE_LIMITED/);
  assert.equal(refused.headers['retry-after'], '5');
  assert.equal(refused.headers.ratelimit, '"routes.0.rateLimits.0";r=0;t=5');
  assert.equal(await statusOf(other, '/identity'), 200);
  await clock.advance(5000);
  assert.equal(await statusOf(one, '/identity'), 200);
  assert.equal(await statusOf(one, '/identity'), 429);

  assert.equal(await statusOf(one, '/class'), 204);
  assert.equal(await statusOf(one, '/class'), 429);
  for (let n = 0; n < 3; n += 1) assert.equal(await statusOf(other, '/class'), 204);

  assert.equal(await statusOf(one, '/header', { 'x-tenant': 'a' }), 200);
  assert.equal(await statusOf(one, '/header', { 'x-tenant': 'b' }), 200);
  assert.equal(await statusOf(other, '/header', { 'x-tenant': 'a' }), 429);
  // Whoever sends none is one caller.
  assert.equal(await statusOf(one, '/header'), 200);
  assert.equal(await statusOf(other, '/header'), 429);

  // What one limit refuses is given back to the others.
  assert.equal(await statusOf(one, '/'), 200);
  assert.equal(await statusOf(one, '/'), 200);
  assert.equal(await statusOf(one, '/'), 429);
  assert.equal(await statusOf(other, '/'), 200);
  assert.equal(await statusOf(other, '/'), 429);

  // A reload that leaves a limit as it was leaves what it counted.
  gateway.reload({ config: parseGatewayConfig(yaml, 'gateway.yaml') });
  assert.equal(await statusOf(one, '/identity'), 429);
});

test('made-up keys fill no memory, and free nobody of a limit', () => {
  const model: RateLimitModel = {
    ...{ name: 'x', by: { kind: 'address' }, requests: 1, perMs: 1000 },
    ...{ burst: 2, maxKeys: 3, tells: false },
  };
  const buckets = new TokenBuckets(model);
  const take = (key: string, now: number) => buckets.take(key, now).ok;
  assert.deepEqual([take('a', 0), take('a', 0), take('a', 0)], [true, true, false]);
  assert.deepEqual([take('b', 0), take('c', 0)], [true, true]);
  // Three are known and none is full again: all others share one bucket.
  assert.deepEqual([take('d', 0), take('e', 0), take('f', 0)], [true, true, false]);
  assert.equal(take('a', 0), false);
  assert.equal(buckets.size, 3);
  // A second later `b` is full again and the first to be forgotten.
  assert.equal(take('a', 1000), true);
  assert.deepEqual([take('g', 1000), take('g', 1000), take('g', 1000)], [true, true, false]);
  assert.equal(buckets.size, 3);
  // Nor do long ones: what is kept of a key is short, whatever a header can hold.
  const [long, other] = ['x'.repeat(16_000), 'y'.repeat(16_000)];
  const few = new TokenBuckets({ ...model, burst: 1 });
  assert.deepEqual(
    [long, long, other].map((key) => few.take(key, 0).ok),
    [true, false, true],
  );
  few.giveBack(long);
  assert.equal(few.take(long, 0).ok, true);
  assert.ok([...few.keys()].every((key) => key.length < 100));
});

test("Envoy's local rate limit is the listener's, and what is not done of it is named", () => {
  const type =
    'type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit';
  const whole = '{ default_value: { numerator: 100, denominator: HUNDRED } }';
  const usual = `token_bucket: { max_tokens: 10, tokens_per_fill: 5, fill_interval: 2s }`;
  const enabled = `filter_enabled: ${whole}, filter_enforced: ${whole}`;
  const compile = (filter: string) =>
    compileEnvoy(
      parseConfigText(
        `
static_resources:
  listeners:
    - name: web
      address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
      filter_chains:
        - filters:
            - typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                route_config: { virtual_hosts: [] }
                http_filters:
                  - typed_config: { "@type": ${type}, ${filter} }
                  - typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
`,
        'envoy.yaml',
      ),
    ).model.listeners[0].chains[0].rateLimits;
  assert.deepEqual(compile(`${usual}, ${enabled}`), [
    {
      ...{ name: 'web.http_filters.0', by: { kind: 'all' }, maxKeys: 1 },
      ...{ requests: 5, perMs: 2000, burst: 10, tells: false },
    },
  ]);
  for (const [filter, message] of [
    [usual, /filter_enabled: .*missing|filter_enabled/],
    [`${usual}, ${enabled}, descriptors: []`, /unknown key "descriptors"/],
    [
      `${usual}, ${enabled}, enable_x_ratelimit_headers: DRAFT_VERSION_03`,
      /not done by this gateway/,
    ],
    [`${usual}, ${enabled.replace('100', '50')}`, /numerator: expected 100, found 50/],
  ] as const) {
    assert.throws(() => compile(filter), message, filter);
  }
});
