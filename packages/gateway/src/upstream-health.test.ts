import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { parseConfigText, parseYamlDocuments } from '@countersign/config';
import { testClock } from '@countersign/testkit';
import { compileEnvoy } from './envoy/compile-envoy.ts';
import { emptyModel, parseGatewayConfig } from './gateway-config.ts';
import { alice, clientOf, idOf, startUpstream, startWorld } from './gateway-world.suite.ts';
import { compileIstio } from './istio/compile-istio.ts';
import { startH2Upstream } from './protocol-world.suite.ts';
import { answers, numberedUpstreams, until, upstreamStatus } from './upstream-world.suite.ts';

test('an upstream that answers badly is out for a time that grows, and taken back', async (t) => {
  const { urls, asked, answering } = await numberedUpstreams(t, 2);
  const clock = testClock(Date.now());
  const yaml = `listen: { port: 0 }
admin: { port: 0 }
routes:
  - match: {}
    upstream:
      url: [${urls}]
      outlierDetection: { consecutive5xxErrors: 2, interval: 1s, baseEjectionTime: 5s, maxEjectionPercent: 50 }
`;
  const config = parseGatewayConfig(yaml, 'gateway.yaml');
  const { gateway } = await startWorld(t, 'https://unused.test', { config, clock });
  const { ask } = clientOf(t, gateway.url, alice);
  const askTimes = async (times: number) => {
    for (let n = 0; n < times; n += 1) await ask('/');
  };
  const ofFirst = async () => (await upstreamStatus(gateway.adminUrl))[0]?.endpoints[0];
  answering.set(0, answers(500));
  await askTimes(4);
  assert.deepEqual([asked[0], asked[1]], [2, 2]);
  assert.deepEqual((await ofFirst())?.ejected, true);
  await askTimes(4);
  assert.deepEqual([asked[0], asked[1]], [2, 6]);
  // The other one stays, however it answers: more than half may not be out.
  answering.set(1, answers(503));
  await askTimes(4);
  assert.deepEqual([asked[0], asked[1]], [2, 10]);
  answering.delete(1);
  await clock.advance(4000);
  assert.equal((await ofFirst())?.ejected, true);
  await clock.advance(1500);
  assert.equal((await ofFirst())?.ejected, false);
  await askTimes(4);
  assert.deepEqual([asked[0], asked[1]], [4, 12]);
  // The second time it is out for twice as long.
  await clock.advance(8000);
  assert.deepEqual((await ofFirst())?.ejections, 2);
  assert.equal((await ofFirst())?.ejected, true);
  await clock.advance(3000);
  assert.equal((await ofFirst())?.ejected, false);
});

test('where too few are fit all of them take requests, unless there is no panic', async (t) => {
  const { urls, asked, answering } = await numberedUpstreams(t, 2);
  const upstream = (path: string, more: string) => `
  - match: { pathPrefix: ${path} }
    upstream: { url: [${urls}], outlierDetection: { consecutiveGatewayErrors: 1, consecutive5xxErrors: 0,
      maxEjectionPercent: 100, minHealthPercent: ${more} } }`;
  const yaml = `listen: { port: 0 }\nroutes:${upstream('/none', '0')}${upstream('/panic', '60')}\n`;
  const config = parseGatewayConfig(yaml, 'gateway.yaml');
  const { gateway } = await startWorld(t, 'https://unused.test', { config });
  const { ask } = clientOf(t, gateway.url, alice);
  answering.set(0, answers(502));
  answering.set(1, answers(500));
  for (let n = 0; n < 6; n += 1) await ask('/panic');
  assert.deepEqual(asked, [3, 3]);
  answering.set(1, answers(502));
  await ask('/none');
  await ask('/none');
  const refused = await ask('/none');
  assert.equal(refused.status, 503);
  assert.match(refused.body, /ERR_UPSTREAM_NO_ENDPOINT/);
  assert.deepEqual(asked, [4, 4]);
});

test('health checks over HTTP, gRPC and TCP take an upstream out and back, with the identity of requests', async (t) => {
  let isWell = true;
  let seen = '';
  const { url } = await startUpstream(t, (request, response) => {
    if (request.url === '/healthz') {
      seen = `${request.headers.host} ${(request.socket as import('node:tls').TLSSocket).getPeerX509Certificate()?.subjectAltName}`;
      response.writeHead(isWell ? 204 : 500);
    }
    response.end();
  });
  const grpc = await startH2Upstream(t, (stream, headers) => {
    if (headers[':path'] !== '/grpc.health.v1.Health/Check') return void stream.end();
    stream.resume();
    stream.respond(
      { ':status': 200, 'content-type': 'application/grpc' },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(Buffer.from([0, 0, 0, 0, 2, 8, isWell ? 1 : 2]));
  });
  const echoing = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write(isWell ? '+PONG\r\n' : '-LOADING\r\n'));
  });
  echoing.listen(0, '127.0.0.1');
  await once(echoing, 'listening');
  t.after(() => echoing.close());
  const clock = testClock(Date.now());
  const thresholds =
    'interval: 1s, timeout: 500ms, jitter: 0s, unhealthyThreshold: 2, healthyThreshold: 2';
  const yaml = `listen: { port: 0 }
admin: { port: 0 }
routes:
  - match: { pathPrefix: /http }
    upstream: { url: "${url}", spiffeId: ${idOf('orders')}, outlierDetection: { minHealthPercent: 0 },
      healthCheck: { http: { path: /healthz, statuses: [{ from: 200, to: 299 }] }, ${thresholds} } }
  - match: { pathPrefix: /grpc }
    upstream: { url: "${grpc.url}", spiffeId: ${idOf('orders')}, healthCheck: { grpc: { service: shop.Orders }, ${thresholds} } }
  - match: { pathPrefix: /tcp }
    upstream: { url: "http://127.0.0.1:${(echoing.address() as AddressInfo).port}",
      healthCheck: { tcp: { send: PING, receive: PONG }, ${thresholds} } }
`;
  const config = parseGatewayConfig(yaml, 'gateway.yaml');
  const { gateway } = await startWorld(t, 'https://unused.test', { config, clock });
  const { ask } = clientOf(t, gateway.url, alice);
  const healthy = async () =>
    (await upstreamStatus(gateway.adminUrl)).map(({ endpoints }) => endpoints[0]?.healthy);
  const everybodyIs = (expected: boolean) =>
    until(async () => {
      await clock.advance(1000);
      return (await healthy()).every((each) => each === expected);
    });
  await clock.advance(0);
  await until(() => seen !== '');
  assert.match(seen, new RegExp(`^${url.slice('https://'.length)} URI:${idOf('gateway')}$`));
  await everybodyIs(true);
  assert.equal((await ask('/http')).status, 200);
  isWell = false;
  await everybodyIs(false);
  assert.equal((await ask('/http')).status, 503);
  isWell = true;
  await everybodyIs(true);
  assert.equal((await ask('/http')).status, 200);
});

test('outliers and health checks mean the same in a DestinationRule and in a bootstrap', () => {
  const istio = compileIstio(
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
spec: { host: a.test, trafficPolicy: { outlierDetection: { consecutive5xxErrors: 7, interval: 5m, baseEjectionTime: 15m } } }
`,
      'istio.yaml',
    ),
    { base: emptyModel() },
  ).model.clusters[0];
  assert.deepEqual(istio?.outliers, {
    ...{ intervalMs: 300_000, baseEjectionMs: 900_000, maxEjectionMs: 900_000 },
    ...{ maxEjectionPercent: 10, alwaysEjectsOne: false, consecutive5xx: 7, consecutiveGateway: 0 },
    ...{ splitsLocalErrors: false, consecutiveLocal: 5 },
  });
  assert.equal(istio?.panicPercent, 0);
  const envoy = (cluster: string) =>
    compileEnvoy(
      parseConfigText(
        `
static_resources:
  listeners:
    - address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
      filter_chains:
        - filters:
            - typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                cluster: web
  clusters: [{ name: web, load_assignment: {}, ${cluster} }]
`,
        'envoy.yaml',
      ),
    ).model.clusters[0];
  const usual = envoy(
    'outlier_detection: {}, common_lb_config: { healthy_panic_threshold: { value: 30 } }',
  );
  assert.deepEqual(usual?.outliers?.successRate, {
    minHosts: 5,
    requestVolume: 100,
    deviations: 1.9,
  });
  assert.equal(usual?.outliers?.consecutiveGateway, 0);
  assert.equal(usual?.panicPercent, 30);
  const times = 'timeout: 1s, interval: 5s, unhealthy_threshold: 3, healthy_threshold: 2';
  const http = envoy(
    `health_checks: [{ ${times}, http_health_check: { path: /up, expected_statuses: [{ start: "200", end: "300" }] } }]`,
  );
  assert.deepEqual(http?.healthCheck?.ask, { kind: 'http', path: '/up', statuses: [[200, 299]] });
  const tcp = envoy(
    `health_checks: [{ ${times}, tcp_health_check: { send: { text: "50494E47" } } }]`,
  );
  assert.deepEqual(tcp?.healthCheck?.ask, { kind: 'tcp', send: '50494e47', receive: [] });
  for (const [cluster, message] of [
    [
      'outlier_detection: { enforcing_consecutive_5xx: 50 }',
      /not done by this gateway, but for 0 or 100/,
    ],
    [`health_checks: [{ ${times}, custom_health_check: {} }]`, /unknown key "custom_health_check"/],
    [`health_checks: [{ ${times} }]`, /expected one of http_health_check/],
  ] as const) {
    assert.throws(() => envoy(cluster), message);
  }
});
