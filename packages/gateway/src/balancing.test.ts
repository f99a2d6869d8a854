import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfigText, parseYamlDocuments } from '@countersign/config';
import { compileEnvoy } from './envoy/compile-envoy.ts';
import { emptyModel, gatewayConfigOf, parseGatewayConfig } from './gateway-config.ts';
import { alice, clientOf, startWorld } from './gateway-world.suite.ts';
import { compileIstio } from './istio/compile-istio.ts';
import { numberedUpstreams } from './upstream-world.suite.ts';

test('a caller stays with its upstream by header, cookie, query or address, and weights are shares', async (t) => {
  const { ports, urls } = await numberedUpstreams(t, 3);
  const yaml = `listen: { port: 0 }
routes:
  - match: { pathPrefix: /header }
    upstream: { url: [${urls}], balancing: { hash: [{ header: X-User }] } }
  - match: { pathPrefix: /cookie }
    upstream: { url: [${urls}], balancing: { hash: [{ cookie: { name: to, ttl: 90s, path: /cookie } }] } }
  - match: { pathPrefix: /query }
    upstream: { url: [${urls}], balancing: { hash: [{ query: user }], minRingSize: 64 } }
  - match: { pathPrefix: /address }
    upstream: { url: [${urls}], balancing: { hash: [sourceAddress] } }
  - match: {}
    upstream: { url: [{ url: "http://127.0.0.1:${ports[0]}", weight: 3 }, "http://127.0.0.1:${ports[1]}"] }
`;
  const config = parseGatewayConfig(yaml, 'gateway.yaml');
  const { gateway } = await startWorld(t, 'https://unused.test', { config });
  const { ask } = clientOf(t, gateway.url, alice);
  const of = async (path: string, headers = {}) => (await ask(path, { headers })).body;
  const users = Array.from({ length: 24 }, (_, n) => `user-${n}`);
  for (const [path, headersOf] of [
    ['/header', (user: string) => ({ 'x-user': user })],
    ['/cookie', (user: string) => ({ cookie: `a=b; to="${user}"` })],
    ['/query', undefined],
  ] as const) {
    const seen = new Set<string>();
    for (const user of users) {
      const target = headersOf === undefined ? `${path}?x=1&user=${user}` : path;
      const first = await of(target, headersOf?.(user));
      assert.equal(await of(target, headersOf?.(user)), first);
      seen.add(first);
    }
    assert.equal(seen.size, 3, path);
  }
  const given = await ask('/cookie');
  const [cookie = ''] = given.headers['set-cookie'] ?? [];
  assert.match(cookie, /^to="[^"]+"; Max-Age=90; Path=\/cookie; HttpOnly$/);
  const [pair = ''] = cookie.split(';');
  assert.equal((await ask('/cookie', { headers: { cookie: pair } })).body, given.body);
  assert.equal(
    (await ask('/cookie', { headers: { cookie: pair } })).headers['set-cookie'],
    undefined,
  );
  const byAddress = new Set(await Promise.all([1, 2, 3, 4].map(() => of('/address'))));
  assert.equal(byAddress.size, 1);
  const round = [];
  for (let n = 0; n < 8; n += 1) round.push(await of('/'));
  assert.equal(round.filter((each) => each === '0').length, 6);
});

test('hashing means the same in a DestinationRule and in a bootstrap, and what is not done is named', () => {
  const istio = (consistentHash: string) =>
    compileIstio(
      parseYamlDocuments(
        `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: a, namespace: prod }
spec: { hosts: ["*"], http: [{ route: [{ destination: { host: a.test, port: { number: 80 } } }] }] }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: a, namespace: prod }
spec: { host: a.test, trafficPolicy: { loadBalancer: { consistentHash: ${consistentHash} } } }
`,
        'istio.yaml',
      ),
      { base: emptyModel() },
    ).model.clusters[0];
  const [header, cookie, address, query] = [
    istio('{ httpHeaderName: X-User, minimumRingSize: 2048 }'),
    istio('{ httpCookie: { name: to, path: /, ttl: 0s } }'),
    istio('{ useSourceIp: true }'),
    istio('{ httpQueryParameterName: user, ringHash: { minimumRingSize: 4096 } }'),
  ];
  assert.deepEqual(header?.hash, [{ of: { kind: 'header', name: 'x-user' } }]);
  assert.equal(header?.ring?.minSize, 2048);
  assert.deepEqual(cookie?.hash, [{ of: { kind: 'cookie', name: 'to', ttlMs: 0, path: '/' } }]);
  assert.deepEqual(address?.hash, [{ of: { kind: 'source-address' } }]);
  assert.equal(query?.ring?.minSize, 4096);
  assert.throws(() => istio('{ maglev: {}, useSourceIp: true }'), /maglev: is not done/);
  assert.throws(() => istio('{ minimumRingSize: 9 }'), /expected one of httpHeaderName/);

  const envoy = (policy: string) =>
    compileEnvoy(
      parseConfigText(
        `
static_resources:
  listeners:
    - address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
      filter_chains:
        - filters:
            - typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes: [{ match: { prefix: / }, route: { cluster: web, hash_policy: [${policy}] } }]
  clusters:
    - name: web
      lb_policy: RING_HASH
      ring_hash_lb_config: { minimum_ring_size: 512 }
      load_assignment: { endpoints: [{ lb_endpoints: [] }] }
`,
        'envoy.yaml',
      ),
    ).model;
  const model = envoy(
    '{ header: { header_name: X-User }, terminal: true }, { connection_properties: { source_ip: true } }',
  );
  const action = model.tables[0]?.hosts[0]?.routes[0]?.action;
  assert.ok(action?.kind === 'forward');
  assert.deepEqual(action.hash, [
    { of: { kind: 'header', name: 'x-user' }, isEnough: true },
    { of: { kind: 'source-address' }, isEnough: false },
  ]);
  assert.deepEqual(model.clusters[0]?.ring, { minSize: 512, maxSize: 65_536 });
  assert.equal(gatewayConfigOf(model).model.clusters[0]?.balancing, 'ring-hash');
  assert.throws(() => envoy('{ filter_state: { key: a } }'), /unknown key "filter_state"/);
});
