import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileRules } from '@countersign/authz';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { parseConfigText } from '@countersign/config';
import { neverRevoked } from '@countersign/spiffe';
import { gatewayConfigOf } from '../gateway-config.ts';
import { needsOwnIdentity } from '../model/own-identity.ts';
import { startGateway } from '../start-gateway.ts';
import { table } from './bootstrap-table.suite.ts';
import {
  askOf,
  bootstrapWorld,
  expectedHandshake,
  handshakeOf,
  wrongWith,
} from './bootstrap-world.suite.ts';
import { compileEnvoy } from './compile-envoy.ts';

const compile = (text: string) => compileEnvoy(parseConfigText(text, 'envoy.yaml'));

test('a bootstrap with TLS contexts runs as it stands, without an authority', async (t) => {
  const { bootstrap, ports } = await bootstrapWorld(t);
  const { model, limits, notes } = compile(JSON.stringify(bootstrap));
  assert.deepEqual(notes, []);
  assert.equal(needsOwnIdentity(model), false);
  const usual = gatewayConfigOf(model);
  const gateway = await startGateway({
    config: { ...usual, limits: { ...usual.limits, ...limits } },
    ...{ rules: compileRules([]), revocation: neverRevoked },
    ...{ clock: systemClock, log: noLog, meter: noMeter },
  });
  t.after(() => gateway.close());
  assert.deepEqual(
    gateway.listeners.map(({ url }) => url),
    [
      `https://127.0.0.1:${ports.edge}`,
      `http://127.0.0.1:${ports.clear}`,
      `tcp://127.0.0.1:${ports.tunnel}`,
    ],
  );
  assert.equal(await handshakeOf(ports.edge, 'a.simple.test'), expectedHandshake);
  const wrong: string[] = [];
  for (const asked of table) {
    const found = wrongWith(asked, await askOf(ports, asked));
    if (found !== undefined) wrong.push(`${asked.name}: ${found}`);
  }
  assert.deepEqual(wrong, []);
});

const manager = (more = '') => `
              - name: envoy.filters.network.http_connection_manager
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                  stat_prefix: http
                  routeConfig:
                    virtualHosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: web } }] }]
                  ${more}`;
const bootstrap = (filters = manager(), cluster = '', chain = '', listener = '') => `
staticResources:
  listeners:
    - name: web
      address: { socketAddress: { address: 127.0.0.1, portValue: 8080 } }
      ${listener}
      filterChains:
        - ${chain === '' ? '' : `${chain}\n          `}filters:${filters}
  clusters:
    - name: web
      load_assignment:
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 9000 } } } }] }]
      ${cluster.replace(/^, /, '')}
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
`;

test('camel case is the same, and where no filter of HTTP is named the router is assumed, and said', () => {
  const { model, admin, notes } = compile(bootstrap());
  assert.deepEqual(admin, { address: '127.0.0.1', port: 0 });
  assert.match(
    notes.join(),
    /listeners\.0\.filter_chains\.0\.filters\.0\.typed_config: no http_filters, the router is assumed/,
  );
  const [route] = model.tables[0]?.hosts[0]?.routes ?? [];
  // Envoy's own time-out, where none is written.
  assert.ok(route?.action.kind === 'forward' && route.action.timeoutMs === 15_000);
  assert.deepEqual(model.clusters[0]?.limits, {
    ...{ maxRequests: 1024, maxRetries: 3, maxPending: 1024 },
  });
});

test('what a bootstrap asks and is not done is named with its place and path', () => {
  const tls = (type: string, more: string) =>
    `{ name: tls, typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.${type}, ${more} } }`;
  const server = (common: string, more = '') =>
    bootstrap(
      manager(),
      '',
      `transport_socket: ${tls('DownstreamTlsContext', `common_tls_context: { ${common} }${more}`)}`,
    );
  const pair =
    'tls_certificates: [{ certificate_chain: { filename: /c }, private_key: { filename: /k } }]';
  const cases: readonly (readonly [yaml: string, message: RegExp])[] = [
    [
      bootstrap(manager('tracing: {}')),
      /envoy\.yaml:\d+:\d+: unknown key "tracing" in static_resources\.listeners\.0\.filter_chains\.0\.filters\.0\.typed_config/,
    ],
    [
      bootstrap(manager('use_remote_address: false')),
      /use_remote_address: is not done by this gateway, but for true/,
    ],
    [
      bootstrap(
        manager(
          'http_filters: [{ name: lua, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua } }]',
        ),
      ),
      /http_filters\.0\.typed_config.*@type: .*, found "type\.googleapis\.com\/envoy\.extensions\.filters\.http\.lua/,
    ],
    [
      bootstrap(manager(), ', lb_policy: MAGLEV'),
      /clusters\.0\.lb_policy: expected "ROUND_ROBIN" or "LEAST_REQUEST" or "RANDOM" or "RING_HASH"/,
    ],
    [bootstrap(manager(), ', type: EDS'), /clusters\.0\.type/],
    [
      bootstrap(
        manager(),
        `, transport_socket: ${tls('UpstreamTlsContext', 'common_tls_context: {}')}`,
      ),
      /trusted_ca: missing, an upstream that nobody vouches for/,
    ],
    [
      bootstrap().replaceAll('{ cluster: web }', '{ cluster: wbe }'),
      /route\.cluster: there is no cluster "wbe"/,
    ],
    [
      bootstrap().replace('{ prefix: / }', '{ safe_regex: { regex: "(?!x)" } }'),
      /is no RE2 expression/,
    ],
    [
      bootstrap().replace('{ prefix: / }', '{}'),
      /expected one of prefix, path, safe_regex, path_separated_prefix/,
    ],
    [server(pair, ', require_client_certificate: true'), /validation_context\.trusted_ca: missing/],
    [server(`${pair}, tls_params: { cipher_suites: [AES128-SHA] }`), /cipher suite "AES128-SHA"/],
    [
      server(`${pair}, tls_params: { tls_minimum_protocol_version: TLSv1_0 }`),
      /tls_minimum_protocol_version: expected .*, found "TLSv1_0"/,
    ],
    [
      server(`${pair.replace('{ filename: /k }', '{ inline_string: secret-key }')}`),
      /unknown key "inline_string"|expected a file/,
    ],
    [
      bootstrap(manager('upgrade_configs: [{ upgrade_type: CONNECT }]')),
      /upgrade_type "CONNECT" is not done by this gateway, but for "websocket"/,
    ],
    [
      bootstrap(undefined, '', 'filter_chain_match: { server_names: ["*"] }'),
      /server_names\.0: expected a name or "\*\.example\.com"/,
    ],
    ...(
      [
        [
          'request_headers_to_add: [{ header: { key: x, value: "%REQ(a)%" } }]',
          /"%REQ\(a\)%" is not done/,
        ],
        ['request_headers_to_add: [{ header: { key: x, value: "a\\r\\nb" } }]', /line break/],
        ['request_headers_to_add: [{ header: { key: Client-Cert } }]', /only the handshake does/],
        ['response_headers_to_remove: [content-length]', /"content-length" frames messages/],
        ['request_headers_to_add: [{ header: { key: ":path" } }]', /pseudo-header/],
      ] as const
    ).map(
      ([changes, message]) =>
        [
          bootstrap().replace('virtualHosts:', `${changes}\n                    virtualHosts:`),
          message,
        ] as const,
    ),
    [server(''), /tls_certificates: missing/],
    [`${bootstrap()}dynamic_resources: {}\n`, /unknown key "dynamic_resources"/],
    [
      `${bootstrap()}node: { id: a, claster: b }\n`,
      /unknown key "claster" in node, the nearest valid key is "cluster"/,
    ],
  ];
  for (const [yaml, message] of cases) {
    assert.throws(
      () => compile(yaml),
      (thrown: Error) => {
        assert.match(thrown.message, message, yaml);
        assert.doesNotMatch(thrown.message, /secret-key/);
        return true;
      },
    );
  }
});
