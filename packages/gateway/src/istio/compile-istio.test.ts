import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { compileRules } from '@countersign/authz';
import { parseYamlDocuments } from '@countersign/config';
import { emptyModel, gatewayConfigOf, withFirstPort } from '../gateway-config.ts';
import {
  alice,
  clientOf,
  credentialOf,
  root,
  startUpstream,
  startWorld,
  textOf,
} from '../gateway-world.suite.ts';
import { compileIstio } from './compile-istio.ts';

const compile = (yaml: string, base = false) =>
  compileIstio(parseYamlDocuments(yaml, 'istio.yaml'), base ? { base: emptyModel() } : {});

const gateway = (servers: string) => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: infra }
spec: { servers: [${servers}] }
`;
const service = (spec: string, kind = 'VirtualService', name = 'shop') => `
---
apiVersion: networking.istio.io/v1beta1
kind: ${kind}
metadata: { name: ${name}, namespace: prod }
spec: ${spec}
`;

const subsets = `
  host: catalogue.test
  subsets: [{ name: v1, labels: { version: v1 } }, { name: v2, labels: { version: v2 } }]
`;
const toOpen = `
  hosts: [open.test]
  gateways: [infra/edge]
  http: [{ route: [{ destination: { host: open } }] }]
`;

async function plainUpstream(t: TestContext, name: string) {
  const seen: { url: string; host: string; headers: Record<string, unknown> }[] = [];
  const server = createServer((asked, response) => {
    seen.push({ url: asked.url ?? '', host: asked.headers.host ?? '', headers: asked.headers });
    response.end(name);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, seen };
}

test('a mesh edge with MUTUAL and SIMPLE servers by name runs as its documents say', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-istio-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const server = credentialOf('edge');
  const files = { 'cert.pem': server.chainPem, 'key.pem': server.keyPem, 'ca.pem': root.rootPem };
  for (const [name, text] of Object.entries(files))
    writeFileSync(join(directory, name), text, { mode: 0o600 });
  const [v1, v2, open] = [
    await plainUpstream(t, 'v1'),
    await plainUpstream(t, 'v2'),
    await plainUpstream(t, 'open'),
  ];
  const orders = await startUpstream(t, (_request, response) => response.end('orders'));
  const ordersPort = Number(new URL(orders.url).port);
  const pair = `serverCertificate: ${directory}/cert.pem, privateKey: ${directory}/key.pem`;
  const yaml = `${gateway(`
    { port: { number: 8443, name: https, protocol: HTTPS }, bind: 127.0.0.1, hosts: ["prod/*.shop.test"],
      tls: { mode: MUTUAL, ${pair}, caCertificates: ${directory}/ca.pem, subjectAltNames: ["spiffe://example.test/alice"] } },
    { port: { number: 8443, name: https2, protocol: HTTPS }, bind: 127.0.0.1, hosts: ["open.test"], tls: { mode: SIMPLE, ${pair} } },
    { port: { number: 8080, name: http, protocol: HTTP }, bind: 127.0.0.1, hosts: ["*"], tls: { httpsRedirect: true } }`)}
${service(`
  hosts: [www.shop.test]
  gateways: [infra/edge]
  http:
    - name: canary
      match: [{ uri: { prefix: /API/ }, ignoreUriCase: true, headers: { x-canary: { exact: "yes" } } }]
      rewrite: { uri: /v2/, authority: inner.test }
      headers: { request: { set: { x-set: "50%%" }, remove: [x-drop] } }
      route: [{ destination: { host: catalogue.test, subset: v2 } }]
    - match: [{ uri: { exact: /old } }]
      redirect: { uri: /new, redirectCode: 302 }
    - match: [{ uri: { prefix: /orders } }]
      route: [{ destination: { host: orders.test } }]
    - match: [{ withoutHeaders: { x-closed: {} } }]
      route: [{ destination: { host: catalogue.test, subset: v1 } }]
    - directResponse: { status: 410, body: { string: gone } }
`)}
${service(toOpen, 'VirtualService', 'open')}
${service(
  `
  hosts: [catalogue.test]
  resolution: STATIC
  ports: [{ number: 80, name: http, protocol: HTTP }]
  endpoints:
    - { address: 127.0.0.1, ports: { http: ${v1.port} }, labels: { version: v1 } }
    - { address: 127.0.0.1, ports: { http: ${v2.port} }, labels: { version: v2 } }
`,
  'ServiceEntry',
  'catalogue',
)}
${service(subsets, 'DestinationRule', 'catalogue')}
${service(
  `
  hosts: [open.prod.svc.cluster.local]
  resolution: STATIC
  ports: [{ number: 80, name: http, targetPort: ${open.port} }]
  workloadSelector: { labels: { app: open } }
`,
  'ServiceEntry',
  'open',
)}
${service('{ address: 127.0.0.1, labels: { app: open } }', 'WorkloadEntry', 'open')}
${service(
  `
  hosts: [orders.test]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{ number: ${ordersPort}, name: http }]
  endpoints: [{ address: 127.0.0.1 }]
  subjectAltNames: ["spiffe://example.test/orders"]
`,
  'ServiceEntry',
  'orders',
)}`;
  const { model } = compile(yaml);
  const free = {
    ...model,
    listeners: model.listeners.map((each) => ({ ...each, port: 0 })) as never,
  };
  const { gateway: running } = await startWorld(t, orders.url, {
    config: gatewayConfigOf({ ...free }),
    rules: compileRules([]),
  });
  const [tls, clear] = running.listeners;
  const url = tls?.url ?? '';
  const asAlice = clientOf(t, url, alice);
  const at = (servername: string, headers = {}) => ({
    servername,
    headers: { host: servername, ...headers },
  });

  const www = at('www.shop.test');
  assert.equal((await asAlice.ask('/', www)).body, 'v1');
  assert.equal((await asAlice.ask('/', at('www.shop.test', { 'x-closed': '1' }))).status, 410);
  const canary = at('www.shop.test', { 'x-canary': 'yes', 'x-drop': 'x' });
  assert.equal((await asAlice.ask('/api/x?q=1', canary)).body, 'v2');
  const told = v2.seen.at(-1);
  assert.equal(told?.url, '/v2/x?q=1');
  assert.equal(told?.host, 'inner.test');
  assert.equal(told?.headers['x-set'], '50%');
  assert.equal(told?.headers['x-drop'], undefined);
  assert.match(String(told?.headers['x-forwarded-client-cert']), /alice/);
  const moved = await asAlice.ask('/old', www);
  assert.equal(moved.status, 302);
  assert.equal(moved.headers.location, 'https://www.shop.test/new');
  assert.equal((await asAlice.ask('/orders', www)).body, 'orders');
  assert.equal((await asAlice.ask('/', at('other.shop.test'))).status, 404);

  // MUTUAL takes alice alone, SIMPLE anybody; who names neither is refused.
  const asMallory = clientOf(t, url, credentialOf('mallory'));
  assert.equal((await asMallory.ask('/', www)).status, 403);
  const asNobody = clientOf(t, url, undefined);
  assert.equal((await asNobody.ask('/', www)).status, 401);
  assert.equal((await asNobody.ask('/', at('open.test'))).body, 'open');
  assert.equal(open.seen.at(-1)?.headers['x-forwarded-client-cert'], undefined);
  await assert.rejects(asNobody.ask('/', at('unknown.test')));

  // A start that could be either version's keeps nobody else waiting.
  const slow = connect(clear?.port ?? 0, '127.0.0.1');
  t.after(() => slow.destroy());
  slow.write('P');
  const sent = request(`${clear?.url}/x?y=1`, { headers: { host: 'www.shop.test' } });
  sent.end();
  const [answer] = await once(sent, 'response');
  assert.equal(answer.statusCode, 301);
  assert.equal(answer.headers.location, 'https://www.shop.test/x?y=1');
  await textOf(answer);
  slow.end('UT / HTTP/1.1\r\nhost: www.shop.test\r\nconnection: close\r\n\r\n');
  assert.match(await textOf(slow), /^HTTP\/1\.1 301 /);
});

test('what is not done, or not there, is named where it is written', () => {
  const route = 'route: [{ destination: { host: a.test, port: { number: 80 } } }]';
  const of = (http: string) =>
    service(`{ hosts: [a.test], http: [{ ${http} }] }`).replace('---', '');
  const https = (tls: string) =>
    gateway(`{ port: { number: 443, protocol: HTTPS }, hosts: ["*"], tls: { ${tls} } }`);
  const cases: readonly (readonly [yaml: string, message: RegExp])[] = [
    [
      of(`${route}, retries: { retryRemoteLocalities: true }`),
      /istio\.yaml:6:\d+: spec\.http\.0\.retries\.retryRemoteLocalities: is not done/,
    ],
    [of(`${route}, delegate: { name: x }`), /delegate: is not done/],
    [
      of(`${route}, mach: []`),
      /unknown key "mach" in spec\.http\.0, the nearest valid key is "match"/,
    ],
    [
      of(`${route}, retries: { attempts: 1, retryOn: "http3-post-connect-failure" }`),
      /retryOn "http3-post-connect-failure"/,
    ],
    [of(`${route}, match: [{ uri: { regex: "(a" } }]`), /is no RE2 expression/],
    [of(`${route}, match: [{ uri: { regex: "(?=a)" } }]`), /is no RE2 expression/],
    [of(`${route}, match: [{ sourceLabels: { a: b } }]`), /sourceLabels: is not done/],
    [
      of(`${route}, headers: { request: { set: { x: "%START_TIME%" } } }`),
      /set\.x: the variable "%START_TIME%" is not done/,
    ],
    ...(
      [
        ['request: { set: { "a\\r\\nb": x } }', /is no header name/],
        ['request: { set: { x: "a\\r\\nX-Evil: 1" } }', /the value has a line break/],
        ['response: { add: { x: "a\\0" } }', /the value has a line break/],
        ['request: { add: { Content-Length: "1" } }', /"Content-Length" frames messages/],
        ['request: { remove: [transfer_encoding] }', /"transfer_encoding" frames messages/],
        ['response: { set: { Connection: close } }', /"Connection" frames messages/],
        ['request: { add: { host: a.test } }', /"host" is the host/],
        ['request: { set: { ":path": /x } }', /":path" is a pseudo-header/],
        ['request: { set: { X_Forwarded_Client_Cert: URI=a } }', /only the handshake does/],
        ['request: { add: { client-cert: ":AA==:" } }', /only the handshake does/],
        ['request: { set: { x-spiffe-id: a } }', /only the handshake does/],
      ] as const
    ).map(([changes, message]) => [of(`${route}, headers: { ${changes} }`), message] as const),
    [of('match: []'), /expected one of route, redirect and directResponse, found none/],
    [
      of('route: [{ destination: { host: a.test } }]'),
      /route\.0\.destination\.port: missing, "a\.test" is in no ServiceEntry/,
    ],
    [
      of('route: [{ destination: { host: a.test, subset: v1, port: { number: 80 } } }]'),
      /no DestinationRule of "a\.test" has a subset "v1"/,
    ],
    [
      service('{ hosts: [a.test], gateways: [edge], http: [] }').replace('---', ''),
      /spec\.gateways\.0: no document is the Gateway "prod\/edge"/,
    ],
    [service('{ hosts: [a.test], tls: [] }').replace('---', ''), /spec\.tls: is not done/],
    [https('mode: SIMPLE, credentialName: c'), /credentialName: is not done/],
    [https('mode: PASSTHROUGH'), /TLS mode PASSTHROUGH/],
    [
      https('mode: MUTUAL, serverCertificate: /c, privateKey: /k'),
      /tls\.caCertificates: missing, mode MUTUAL needs it/,
    ],
    [https('mode: SIMPLE'), /tls\.serverCertificate: missing/],
    [
      service(
        '{ host: a.test, trafficPolicy: { loadBalancer: { warmup: {} } } }',
        'DestinationRule',
      ).replace('---', ''),
      /warmup: is not done/,
    ],
    [
      `${of(route)}${service('{ host: a.test, trafficPolicy: { tls: { mode: SIMPLE } } }', 'DestinationRule')}`,
      /caCertificates: missing, mode SIMPLE of "a\.test"/,
    ],
    [service('{}', 'Sidecar').replace('---', ''), /kind "Sidecar" is none that a gateway goes by/],
  ];
  for (const [yaml, message] of cases) assert.throws(() => compile(yaml, true), { message }, yaml);
});

test('VirtualServices of the mesh are for listeners that no Gateway describes', () => {
  const { model, notes } = compile(
    service(
      '{ hosts: [a.test], http: [{ route: [{ destination: { host: a.test, port: { number: 80 } } }] }] }',
    ).replace('---', ''),
    true,
  );
  assert.equal(model.listeners[0].chains[0].table, 'istio');
  assert.deepEqual(
    model.tables[0]?.hosts.map(({ domains }) => domains),
    [['a.test']],
  );
  const action = model.tables[0]?.hosts[0]?.routes[0]?.action;
  assert.ok(action?.kind === 'forward');
  // Istio's own, where a route says nothing of them.
  assert.equal(action.retries?.attempts, 2);
  assert.equal(action.timeoutMs, undefined);
  assert.match(notes.join('\n'), /"a\.test" is in no ServiceEntry, its name is looked up/);
  assert.equal(withFirstPort(gatewayConfigOf(model), 1).model.listeners[0].port, 1);
});
