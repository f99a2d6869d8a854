import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { ConfigError } from '@countersign/config';
import { parseGatewayConfig } from './gateway-config.ts';
import { isUnder } from './model/request-match.ts';

const route = 'upstream: { url: "https://127.0.0.1:9001", spiffeId: spiffe://example.com/orders }';
const minimal = `routes: [{ match: {}, ${route} }]`;

test('a minimal file is complete with safe defaults', () => {
  const config = parseGatewayConfig(minimal, 'gateway.yaml');
  assert.deepEqual(config.listeners, [
    {
      name: 'gateway',
      address: '127.0.0.1',
      port: 8443,
      clientAuth: 'require',
      minVersion: 'TLSv1.2',
      protocol: 'auto',
    },
  ]);
  assert.equal(config.admin, undefined);
  assert.deepEqual(config.revocation, { method: ['feed'], onUnknown: 'refuse' });
  const [{ match, upstream } = assert.fail()] = config.routes;
  assert.equal(match.pathPrefix, undefined);
  assert.equal(upstream?.timeout, 30_000);
});

test('what is wrong is named with file, line and column, and what was expected', () => {
  const cases: readonly (readonly [yaml: string, message: RegExp])[] = [
    [
      `listn: {}\n${minimal}`,
      /^gateway\.yaml:1:1: unknown key "listn", the nearest valid key is "listen"/,
    ],
    [`listen: { port: 70000 }\n${minimal}`, /^gateway\.yaml:1:17: listen\.port/],
    [
      `listen: { address: everywhere }\n${minimal}`,
      /^gateway\.yaml:1:20: .*expected an IP address/,
    ],
    [`listen: { clientAuth: requir }\n${minimal}`, /nearest is "require"/],
    ['routes: []', /^gateway\.yaml:1:9: routes/],
    ['{}', /routes: missing/],
    [
      minimal.replace('https://127.0.0.1:9001', 'http://192.0.2.1:9001'),
      /^gateway\.yaml:1:\d+: clear-text address "http:.*not supported yet/,
    ],
    [minimal.replace(':9001', ':9001/base'), /expected https:\/\/host\[:port\] without a path/],
    [minimal.replace(':9001', ':99999'), /expected https:\/\/host\[:port\] without a path/],
    [minimal.replace('spiffe://example.com/orders', 'example.com/orders'), /expected a SPIFFE ID/],
    [minimal.replace('match: {}', 'match: { pathPrefix: api }'), /pathPrefix/],
    [minimal.replace('orders }', 'orders, timeout: soon }'), /duration "soon"/],
    [
      `routes:\n  - { match: {}, ${route} }\n  - { match: { pathPrefix: /x }, ${route} }`,
      /^gateway\.yaml:3:.*routes\.1 is never reached, routes\.0/,
    ],
    [`${minimal}\nca: http://127.0.0.1:1`, /not supported yet/],
    [`${minimal}\nlimits: { idleTimout: 1s }`, /nearest valid key is "idleTimeout"/],
    [`${minimal}\nrevocation: { method: oscp }`, /nearest is "ocsp"/],
    [
      `${minimal}\nrevocation: { method: crl, maxSilence: 1h }`,
      /^gateway\.yaml:2:28: revocation\.maxSilence: is for feed, chosen is crl/,
    ],
    [
      `${minimal}\nissuer: { workload_api: { socket: /a } }`,
      /^gateway\.yaml:2:1: issuer: revocation\.method is feed, which needs a "ca"/,
    ],
    [
      `${minimal}\nissuer: { workload_api: { sockt: /a } }\nrevocation: { method: crl }`,
      /unknown key "sockt" in issuer\.workload_api, the nearest valid key is "socket"/,
    ],
  ];
  for (const [yaml, message] of cases) {
    assert.throws(
      () => parseGatewayConfig(yaml, 'gateway.yaml'),
      (thrown: ConfigError) => {
        assert.match(thrown.message, message, yaml);
        assert.equal(thrown.exit, 2);
        return true;
      },
    );
  }
});

test('addresses are those that are dialled', () => {
  for (const [url, host, port] of [
    ['https://orders.test', 'orders.test', 443],
    ['https://orders.test:443/', 'orders.test', 443],
    ['https://[::1]:9001', '::1', 9001],
  ] as const) {
    const yaml = minimal.replace('https://127.0.0.1:9001', url);
    const config = parseGatewayConfig(yaml, 'gateway.yaml');
    assert.deepEqual(config.model.clusters[0]?.endpoints, [{ host, port, weight: 1 }]);
  }
});

test('a prefix covers whole segments', () => {
  for (const [prefix, path, covers] of [
    ['/', '/x', true],
    ['/api', '/api', true],
    ['/api', '/api/x', true],
    ['/api', '/apix', false],
    ['/api/', '/api/x', true],
    ['/api/', '/api', false],
  ] as const) {
    assert.equal(isUnder(prefix, path), covers, `${prefix} ${path}`);
  }
});

test('several listeners have names of their own, and each what its protocol needs', () => {
  const tunnel = 'upstream: { url: "tcp://127.0.0.1:5433", spiffeId: spiffe://example.com/db }';
  const web = '{ name: web, port: 0 }';
  const { listeners } = parseGatewayConfig(
    `listeners: [${web}, { name: db, protocol: tcp, ${tunnel} }]\n${minimal}`,
    'gateway.yaml',
  );
  assert.deepEqual(
    listeners.map(({ name, protocol }) => `${name} ${protocol}`),
    ['web auto', 'db tcp'],
  );
  assert.equal(
    parseGatewayConfig(`listen: { protocol: tcp, ${tunnel} }`, 'g.yaml').routes.length,
    0,
  );
  const cases: readonly (readonly [yaml: string, message: RegExp])[] = [
    [`listeners: [${web}]\nlisten: {}\n${minimal}`, /"listen" is there as well/],
    [`listeners: [${web}, ${web}]\n${minimal}`, /listeners\.1: a listener "web" is there already/],
    [`listeners: [${web}]`, /routes: missing/],
    [`listen: { protocol: tcp }\n${minimal}`, /listen\.upstream: missing/],
    [`listen: { ${tunnel} }\n${minimal}`, /listen\.upstream: is for protocol tcp/],
    [
      `listen: { protocol: tcp, ${tunnel.replace('tcp:', 'https:')} }`,
      /expected tcp:\/\/host:port/,
    ],
    [
      'listen: { protocol: tcp, upstream: { url: "tcp://10.0.0.1:5432" } }',
      /not of this machine: expected a spiffeId/,
    ],
    [
      'listen: { protocol: tcp, upstream: { url: "unix:/db", spiffeId: spiffe://example.com/db } }',
      /is for mTLS, and "unix:\/db" is in clear text/,
    ],
    [`listen: { protocol: tcp, ${tunnel.replace('spiffe:', 'http:')} }`, /expected a SPIFFE ID/],
    [`listen: { proxyProtocol: { from: [somewhere] } }\n${minimal}`, /expected a network/],
    [`listen: { proxyProtocol: { from: [10.0.0.0/33] } }\n${minimal}`, /expected a network/],
    [minimal.replace('orders }', 'orders, protocol: h3 }'), /protocol/],
  ];
  for (const [yaml, message] of cases) {
    assert.throws(() => parseGatewayConfig(yaml, 'gateway.yaml'), message, yaml);
  }
});

test('the example of the documentation is read as it stands', () => {
  const docs = readFileSync(new URL('../../../docs/gateway.md', import.meta.url), 'utf8');
  const example = /```yaml\n([\s\S]*?)```/.exec(docs)?.[1] ?? '';
  assert.equal(parseGatewayConfig(example, 'gateway.yaml').listeners.length, 3);
});
