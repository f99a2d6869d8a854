import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import net from 'node:net';
import { test } from 'node:test';
import { compileRules } from '@countersign/authz';
import { parseConfigText, parseYamlDocuments } from '@countersign/config';
import { compileEnvoy } from './envoy/compile-envoy.ts';
import { emptyModel, gatewayConfigOf, parseGatewayConfig } from './gateway-config.ts';
import { alice, clientOf, idOf, startUpstream, startWorld } from './gateway-world.suite.ts';
import { compileIstio } from './istio/compile-istio.ts';
import { h2Echo, startH2Upstream } from './protocol-world.suite.ts';
import { answers, numberedUpstreams, until } from './upstream-world.suite.ts';

/** A meter that keeps what was counted. */
function countingMeter() {
  const counts = new Map<string, number>();
  const none = { set: () => {}, observe: () => {} };
  const meter = {
    counter: ({ name }: { name: string }) => ({
      add: (by = 1, labels = {}) => {
        const key = [name, ...Object.values(labels)].join(' ');
        counts.set(key, (counts.get(key) ?? 0) + by);
      },
    }),
    gauge: () => none,
    histogram: () => none,
  };
  return { meter, counts };
}

test('what is beyond the limits of a cluster is 503 and counted, and not sent again', async (t) => {
  const held: ServerResponse[] = [];
  const { ports, asked, answering } = await numberedUpstreams(t, 1);
  answering.set(0, (response) => held.push(response));
  const url = `http://127.0.0.1:${ports[0]}`;
  const yaml = `listen: { port: 0 }
routes:
  - match: { pathPrefix: /pending }
    upstream: { url: "${url}", maxConnections: 1, limits: { maxPendingRequests: 1 } }
    retries: { attempts: 3, on: [5xx] }
  - match: { pathPrefix: /requests }
    upstream: { url: "${url}", limits: { maxRequests: 1 } }
  - match: { pathPrefix: /retries }
    upstream: { url: "${url}", limits: { maxRetries: 0 } }
    retries: { attempts: 3, on: [5xx] }
`;
  const { meter, counts } = countingMeter();
  const config = parseGatewayConfig(yaml, 'gateway.yaml');
  const { gateway } = await startWorld(t, 'https://unused.test', { config, meter });
  const { ask } = clientOf(t, gateway.url, alice);
  const first = ask('/pending');
  await until(() => held.length === 1);
  const second = ask('/pending');
  const overflow = await ask('/pending');
  // Two sockets of a client may be turned around on their way here: one of both waits, the other is refused.
  const refused = overflow.status === 503 ? overflow : await second;
  assert.equal(refused.status, 503);
  assert.match(refused.body, /ERR_UPSTREAM_OVERLOADED/);
  assert.equal(asked[0], 1);
  held.shift()?.end('done');
  assert.equal((await first).status, 200);
  await until(() => held.length === 1);
  held.shift()?.end('done');
  assert.equal((await second).status, 200);

  const only = ask('/requests');
  await until(() => held.length === 1);
  assert.match((await ask('/requests')).body, /ERR_UPSTREAM_OVERLOADED/);
  held.shift()?.end('done');
  assert.equal((await only).status, 200);
  const before = asked[0];
  answering.set(0, answers(500));
  assert.equal((await ask('/retries')).status, 500);
  assert.equal(asked[0], (before ?? 0) + 1);
  const kinds = [...counts].filter(([key]) =>
    key.startsWith('countersign_upstream_overflow_total'),
  );
  assert.deepEqual(
    kinds.map(([key, count]) => [key.split(' ').at(-1), count]),
    [
      ['pending', 1],
      ['requests', 1],
      ['retries', 1],
    ],
  );
});

test('connections end after so many requests, and are kept alive as they should be', async (t) => {
  const sockets = new Set<unknown>();
  const h1 = await startUpstream(t, (request, response) => {
    sockets.add(request.socket);
    response.end();
  });
  const sessions = new Set<unknown>();
  const h2 = await startH2Upstream(t, (stream, headers) => {
    sessions.add(stream.session);
    h2Echo(stream, headers);
  });
  const yaml = `listen: { port: 0 }
routes:
  - match: { pathPrefix: /h1 }
    upstream: { url: "${h1.url}", spiffeId: ${idOf('orders')},
      connections: { maxRequests: 2, keepAlive: { time: 7s, interval: 3s, probes: 4 } } }
  - match: { pathPrefix: /h2 }
    upstream: { url: "${h2.url}", spiffeId: ${idOf('orders')}, protocol: h2, connections: { maxRequests: 2 } }
`;
  const config = parseGatewayConfig(yaml, 'gateway.yaml');
  const { gateway } = await startWorld(t, 'https://unused.test', { config });
  const { ask } = clientOf(t, gateway.url, alice);
  const alive = t.mock.method(net.Socket.prototype, 'setKeepAlive');
  for (let n = 0; n < 6; n += 1) {
    assert.equal((await ask('/h1')).status, 200);
    assert.equal((await ask('/h2')).status, 200);
  }
  assert.equal(sockets.size, 3);
  assert.equal(sessions.size, 3);
  const told = alive.mock.calls.map((call) => JSON.stringify(call.arguments));
  assert.equal(told.filter((each) => each === '[true,7000,3000,4]').length, 3);
});

test('pools mean the same in a DestinationRule and in a bootstrap', () => {
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
spec:
  host: a.test
  trafficPolicy:
    connectionPool:
      tcp: { maxConnections: 100, connectTimeout: 30ms, tcpKeepalive: { time: 7200s, interval: 75s }, maxConnectionDuration: 1h }
      http: { http1MaxPendingRequests: 7, http2MaxRequests: 1000, maxRequestsPerConnection: 10, idleTimeout: 2m, maxRetries: 4 }
`,
      'istio.yaml',
    ),
    { base: emptyModel() },
  ).model.clusters[0];
  assert.deepEqual(istio?.limits, { maxRequests: 1000, maxRetries: 4, maxPending: 7 });
  assert.deepEqual(istio?.pool, { maxRequests: 10, idleMs: 120_000, maxAgeMs: 3_600_000 });
  assert.equal(istio?.keepAlive?.intervalMs, 75_000);
  assert.equal(istio?.connectTimeoutMs, 30);
  const options = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
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
  const written = envoy(`
    circuit_breakers: { thresholds: [{ max_connections: 5, max_pending_requests: 6, max_requests: 7, max_retries: 8 }] },
    upstream_connection_options: { tcp_keepalive: { keepalive_time: 60, keepalive_probes: 3 } },
    typed_extension_protocol_options: { ${options}: { "@type": type.googleapis.com/${options},
      common_http_protocol_options: { idle_timeout: 9s, max_requests_per_connection: 11 },
      explicit_http_config: { http2_protocol_options: { max_concurrent_streams: 12 } } } }`);
  assert.equal(written?.maxConnections, 5);
  assert.deepEqual(written?.limits, { maxPending: 6, maxRequests: 7, maxRetries: 8 });
  assert.deepEqual(written?.pool, { maxRequests: 11, idleMs: 9000, maxStreams: 12 });
  assert.equal(written?.keepAlive?.timeMs, 60_000);
  assert.throws(
    () => envoy('circuit_breakers: { thresholds: [{ max_connection_pools: 1 }] }'),
    /unknown key "max_connection_pools"/,
  );
});

test('a tunnel beyond the connections of its cluster is closed, and there is room again when one ends', async (t) => {
  const server = net.createServer((socket) => socket.on('error', () => {}).pipe(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as net.AddressInfo;
  const { model } = compileEnvoy(
    parseConfigText(
      `
static_resources:
  listeners:
    - address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
      filter_chains:
        - filters:
            - typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                cluster: db
  clusters:
    - name: db
      circuit_breakers: { thresholds: [{ max_connections: 1 }] }
      load_assignment:
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${port} } } } }] }]
`,
      'envoy.yaml',
    ),
  );
  const { meter, counts } = countingMeter();
  const config = gatewayConfigOf(model);
  const rules = compileRules([]);
  const { gateway } = await startWorld(t, 'https://unused.test', { config, meter, rules });
  const connect = async () => {
    const socket = net.connect(gateway.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write('ping');
    const data = once(socket, 'data').then(() => true);
    const isOpen = await Promise.race([data, once(socket, 'close').then(() => false)]);
    return { socket, isOpen };
  };
  const first = await connect();
  assert.equal(first.isOpen, true);
  assert.equal((await connect()).isOpen, false);
  assert.equal(counts.get('countersign_upstream_overflow_total db connections'), 1);
  first.socket.destroy();
  await until(async () => {
    const { socket, isOpen } = await connect();
    socket.destroy();
    return isOpen;
  });
});
