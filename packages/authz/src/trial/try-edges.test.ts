import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIstioPolicies } from '../policy/istio-policies.ts';
import { defaultMesh, parseMeshSettings } from '../policy/mesh-settings.ts';
import { policyText } from '../policy/policy-text.suite.ts';
import { parseAuthzTable } from './authz-table.ts';
import { expectRows, policiesOf, type Row, web } from './table-world.suite.ts';
import { TableTrial } from './try-table.ts';

test('PeerAuthentication decides who gets to the port at all', () => {
  const peer = (spec: string, namespace = 'prod') => ({
    kind: 'PeerAuthentication',
    namespace,
    spec,
  });
  const strict = policiesOf(peer('{ mtls: { mode: STRICT } }'));
  expectRows(strict, [
    ['DENY', 'method: GET, port: 8080'],
    ['ALLOW', `${web}, method: GET, port: 8080`],
    ['ALLOW', 'method: GET', '{ namespace: dev }'],
  ]);
  const ports = policiesOf(
    peer('{ mtls: { mode: STRICT } }', 'istio-system'),
    peer(
      '{ selector: { matchLabels: { app: orders } }, portLevelMtls: { "9000": { mode: DISABLE }, "8080": { mode: PERMISSIVE } } }',
    ),
  );
  expectRows(ports, [
    ['ALLOW', 'method: GET, port: 8080'],
    ['ALLOW', 'port: 9000'],
    ['DENY', `${web}, port: 9000`],
    ['DENY', 'port: 7'],
  ]);
  const rooted = policiesOf(
    peer('{ selector: { matchLabels: { app: orders } }, mtls: { mode: STRICT } }', 'istio-system'),
  );
  expectRows(rooted, [['ALLOW', 'method: GET, port: 8080']]);
});

test('targetRefs are for instances of the Gateway in the same namespace, and for nobody else', () => {
  const target = 'targetRefs: [{ group: gateway.networking.k8s.io, kind: Gateway, name: edge }]';
  const policies = policiesOf({ spec: `{ action: DENY, ${target}, rules: [{}] }` });
  const label = (name: string) => `labels: { gateway.networking.k8s.io/gateway-name: ${name} }`;
  expectRows(policies, [
    ['DENY', 'method: GET', `{ namespace: prod, ${label('edge')} }`],
    ['ALLOW', 'method: GET', `{ namespace: prod, ${label('other')} }`],
    ['ALLOW', 'method: GET', `{ namespace: dev, ${label('edge')} }`],
    ['ALLOW', 'method: GET', '{ namespace: prod, labels: { app: edge } }'],
  ]);
  const service = policiesOf({
    spec: '{ action: DENY, targetRefs: [{ kind: Service, name: orders }], rules: [{}] }',
  });
  expectRows(service, [['ALLOW', 'method: GET']]);
});

const istioGateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: prod }
spec:
  selector: { istio: ingress }
  servers:
    - { port: { number: 80, name: a, protocol: HTTP }, hosts: ["*"] }
    - { port: { number: 443, name: b, protocol: HTTPS }, hosts: ["a.example"], tls: { mode: SIMPLE, credentialName: c } }
    - { port: { number: 443, name: c, protocol: HTTPS }, hosts: ["prod/*.b.example"], tls: { mode: MUTUAL, credentialName: c } }
    - { port: { number: 5432, name: d, protocol: TLS }, hosts: ["*"], tls: { mode: PASSTHROUGH } }
    - { port: { number: 15443, name: e, protocol: HTTPS }, hosts: ["*"], tls: { mode: ISTIO_MUTUAL } }
`;

test('an edge takes what its Gateways say, whatever PeerAuthentication says', () => {
  const edge = '{ namespace: prod, labels: { istio: ingress } }';
  const strict = `---\n${policyText('a', '{ mtls: { mode: STRICT } }', { kind: 'PeerAuthentication' })}`;
  const onPorts = '{ to: [{ operation: { ports: ["80", "5432"] } }] }';
  const byAnybody = '{ from: [{ source: { principals: ["*"] } }] }';
  const byName = '{ when: [{ key: connection.sni, values: [a.example] }] }';
  const rulesOf = (...rules: string[]) =>
    `---\n${policyText('a', `{ rules: [${rules.join(', ')}] }`)}`;
  const named = rulesOf(onPorts, byAnybody, byName);
  const rows: readonly Row[] = [
    ['ALLOW', 'method: GET, port: 80, host: x', edge],
    ['DENY', 'method: GET, port: 81, host: x', edge],
    ['DENY', `${web}, method: GET, port: 80`, edge],
    ['ALLOW', 'method: GET, port: 443, sni: a.example', edge],
    ['DENY', 'method: GET, port: 443, host: "a.example:443"', edge],
    ['DENY', 'method: GET, port: 443, sni: c.example', edge],
    ['DENY', 'method: GET, port: 443, sni: x.b.example', edge],
    ['ALLOW', `principal: foreign/x, method: GET, port: 443, sni: x.b.example`, edge],
    ['ALLOW', 'port: 5432, sni: db.example', edge],
    ['DENY', 'method: GET, port: 15443', edge],
    ['ALLOW', `${web}, method: GET, port: 15443`, edge],
  ];
  expectRows(parseIstioPolicies(`${istioGateway}${strict}${named}`, 'all.yaml'), rows);
  const [seen] = parseAuthzTable(
    `[{ workload: ${edge}, request: { ${web}, method: GET, port: 443, sni: a.example }, expect: ALLOW }]`,
    't',
  );
  const onlyNamed = parseIstioPolicies(`${istioGateway}${rulesOf(onPorts, byAnybody)}`, 'all.yaml');
  assert.ok(seen !== undefined);
  assert.equal(
    new TableTrial(onlyNamed, defaultMesh).try(seen).got,
    'DENY',
    'nobody asked for a certificate',
  );
});

test('remote.ip is what trusted proxies tell: an edge believes as many as it is told, a sidecar the nearest', () => {
  const policies = policiesOf({
    spec: '{ rules: [{ from: [{ source: { remoteIpBlocks: ["1.2.3.4"] } }] }] }',
  });
  const edge = '{ namespace: prod, labels: { gateway.networking.k8s.io/gateway-name: e } }';
  const forwarded = (list: string) =>
    `method: GET, sourceIp: 10.0.0.1, headers: { x-forwarded-for: "${list}" }`;
  const mesh = (numTrustedProxies: number) =>
    parseMeshSettings(
      JSON.stringify({ defaultConfig: { gatewayTopology: { numTrustedProxies } } }),
      'mesh.yaml',
    );
  expectRows(policies, [
    ['ALLOW', 'method: GET, sourceIp: 1.2.3.4'],
    ['ALLOW', 'method: GET, sourceIp: 10.0.0.1, remoteIp: 1.2.3.4'],
    ['ALLOW', forwarded('5.6.7.8, 1.2.3.4')],
    ['DENY', forwarded('1.2.3.4, 5.6.7.8')],
    ['DENY', forwarded('1.2.3.4'), edge],
  ]);
  expectRows(
    policies,
    [
      ['ALLOW', forwarded('1.2.3.4'), edge],
      ['DENY', forwarded('1.2.3.4, 5.6.7.8'), edge],
    ],
    mesh(1),
  );
  expectRows(
    policies,
    [
      ['ALLOW', forwarded('1.2.3.4, 5.6.7.8'), edge],
      ['DENY', forwarded('1.2.3.4'), edge],
    ],
    mesh(2),
  );
});

test('the name of a handshake is known where there was one, in lowercase', () => {
  const policies = policiesOf({
    spec: '{ rules: [{ when: [{ key: connection.sni, values: ["a.example"] }] }] }',
  });
  expectRows(policies, [
    ['ALLOW', `${web}, method: GET, sni: A.example`],
    ['DENY', 'method: GET, sni: a.example'],
    ['ALLOW', 'port: 9000, sni: a.example'],
    ['DENY', `${web}, method: GET`],
  ]);
});

test('a port that nobody declared is looked into, and one that is declared HTTP takes nothing else', () => {
  const policies = policiesOf({
    spec: '{ rules: [{ to: [{ operation: { methods: ["*"] } }] }, { to: [{ operation: { ports: ["7000"] } }] }] }',
  });
  expectRows(policies, [
    ['ALLOW', 'method: GET, port: 1'],
    ['DENY', 'port: 1'],
    ['ALLOW', 'port: 7000'],
    ['DENY', 'port: 8080'],
  ]);
  expectRows(policiesOf(), [
    ['DENY', 'port: 8080'],
    ['ALLOW', 'port: 9000'],
    ['ALLOW', 'port: 5, method: GET', '{ namespace: prod, ports: { "5": grpc-web } }'],
    ['ALLOW', 'port: 5', '{ namespace: prod, ports: { "5": mysql } }'],
  ]);
});
