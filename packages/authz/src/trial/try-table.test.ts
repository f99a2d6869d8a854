import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '@countersign/config';
import { parseIstioPolicies } from '../policy/istio-policies.ts';
import { defaultMesh, type MeshSettings, parseMeshSettings } from '../policy/mesh-settings.ts';
import { parseAuthzTable } from './authz-table.ts';
import { TableTrial } from './try-table.ts';

interface Written {
  readonly kind?: string;
  readonly namespace?: string;
  readonly annotations?: string;
  readonly spec: string;
}

function policiesOf(...all: readonly Written[]) {
  const text = all
    .map(({ kind = 'AuthorizationPolicy', namespace = 'prod', annotations = '{}', spec }, index) =>
      [
        `apiVersion: security.istio.io/v1`,
        `kind: ${kind}`,
        `metadata: { name: p${index}, namespace: ${namespace}, annotations: ${annotations} }`,
        `spec: ${spec}\n`,
      ].join('\n'),
    )
    .join('---\n');
  return parseIstioPolicies(text, 'policies.yaml');
}

type Row = readonly [expect: 'ALLOW' | 'DENY', request: string, workload?: string];

const orders = '{ namespace: prod, labels: { app: orders }, ports: { "8080": http, "9000": tcp } }';
const web = 'principal: cluster.local/ns/prod/sa/web';

/** Every row as a table of its own, so that a message names the row. */
function expectRows(
  policies: ReturnType<typeof policiesOf>,
  rows: readonly Row[],
  mesh: MeshSettings = defaultMesh,
): void {
  const trial = new TableTrial(policies, mesh);
  for (const [expect, request, workload = orders] of rows) {
    const text = `[{ name: x, workload: ${workload}, request: { ${request} }, expect: ${expect} }]`;
    const [row] = parseAuthzTable(text, 'table.yaml');
    assert.ok(row !== undefined);
    const { got, reason } = trial.try(row);
    assert.equal(got, expect, `${request}: ${reason}`);
    assert.ok(reason.length > 10);
  }
}

test('each line of a repeated header counts by itself, but for the headers that Envoy joins', () => {
  const header = (name: string, values: string) => ({
    spec: `{ rules: [{ when: [{ key: "request.headers[${name}]", ${values} }] }] }`,
  });
  expectRows(policiesOf(header('X-Role', 'values: [admin]')), [
    ['ALLOW', 'method: GET, headers: { x-role: admin }'],
    ['ALLOW', 'method: GET, headers: { x-role: [user, admin] }'],
    ['DENY', 'method: GET, headers: { x-role: "user,admin" }'],
    ['DENY', 'method: GET'],
  ]);
  expectRows(policiesOf(header('x-role', 'notValues: [admin]')), [
    ['ALLOW', 'method: GET'],
    ['DENY', 'method: GET, headers: { X-Role: [user, admin] }'],
    ['ALLOW', 'method: GET, headers: { x-role: "user,admin" }'],
  ]);
  expectRows(policiesOf(header('user-agent', 'values: [a]')), [
    ['ALLOW', 'method: GET, headers: { user-agent: a }'],
    ['DENY', 'method: GET, headers: { user-agent: [a, b] }'],
  ]);
});

test('namespaces and service accounts are read from the path of the ID, whoever issued it', () => {
  const mesh = { ...defaultMesh, trustDomainAliases: ['other'] };
  const by = (source: string) =>
    policiesOf({ spec: `{ rules: [{ from: [{ source: { ${source} } }] }] }` });
  expectRows(
    by('namespaces: [prod]'),
    [
      ['ALLOW', `${web}, method: GET`],
      ['ALLOW', 'principal: other/ns/prod/sa/x, method: GET'],
      ['ALLOW', 'principal: cluster.local/a/ns/prod/b, method: GET'],
      ['DENY', 'principal: cluster.local/ns/production/sa/x, method: GET'],
      ['DENY', 'principal: cluster.local/ns/prod, method: GET'],
      ['DENY', 'method: GET'],
    ],
    mesh,
  );
  expectRows(by('serviceAccounts: [web, dev/cli]'), [
    ['ALLOW', `${web}, method: GET`],
    ['ALLOW', 'principal: cluster.local/ns/dev/sa/cli, method: GET'],
    ['DENY', 'principal: cluster.local/ns/dev/sa/web, method: GET'],
    ['DENY', 'principal: cluster.local/ns/prod/sa/web2, method: GET'],
  ]);
  expectRows(by('notPrincipals: ["*"]'), [
    ['DENY', `${web}, method: GET`],
    ['ALLOW', 'method: GET'],
  ]);
});

test('cluster.local and the own trust domain stand for each other and every alias; others get no handshake', () => {
  const mesh = parseMeshSettings('trustDomain: td1\ntrustDomainAliases: [td2]\n', 'mesh.yaml');
  const allow = (principal: string) =>
    policiesOf({ spec: `{ rules: [{ from: [{ source: { principals: ["${principal}"] } }] }] }` });
  const rows: readonly Row[] = [
    ['ALLOW', 'principal: td1/ns/prod/sa/web, method: GET'],
    ['ALLOW', 'principal: spiffe://td2/ns/prod/sa/web, method: GET'],
    ['DENY', 'principal: cluster.local/ns/prod/sa/web, method: GET'],
    ['DENY', 'principal: td3/ns/prod/sa/web, method: GET'],
  ];
  for (const principal of ['cluster.local', 'td1', 'td2', 'td*', '*']) {
    expectRows(allow(`${principal}/ns/prod/sa/web`), rows, mesh);
  }
  expectRows(allow('td1/*'), [['DENY', 'principal: td2/ns/prod/sa/web, method: GET']], mesh);
  expectRows(
    allow('spiffe://td1/ns/prod/sa/web'),
    [['DENY', 'principal: td1/ns/prod/sa/web, method: GET']],
    mesh,
  );
  expectRows(policiesOf(), [['DENY', 'principal: td3/ns/prod/sa/web, method: GET']], mesh);
});

test('on TCP an HTTP field drops an ALLOW rule whole, and only itself from a DENY rule', () => {
  const rule =
    'rules: [{ from: [{ source: { namespaces: [prod] } }], to: [{ operation: { methods: [GET] } }] }]';
  expectRows(policiesOf({ spec: `{ ${rule} }` }), [
    ['ALLOW', `${web}, port: 8080, method: GET`],
    ['DENY', `${web}, port: 9000`],
    ['DENY', `${web}, port: 9000, method: GET`],
  ]);
  expectRows(policiesOf({ spec: `{ action: DENY, ${rule} }` }), [
    ['DENY', `${web}, port: 8080, method: GET`],
    ['ALLOW', `${web}, port: 8080, method: PUT`],
    ['DENY', `${web}, port: 9000`],
    ['ALLOW', 'principal: cluster.local/ns/dev/sa/web, port: 9000'],
  ]);
  const audience = 'rules: [{ when: [{ key: "request.auth.audiences", values: [a] }] }]';
  expectRows(policiesOf({ spec: `{ action: DENY, ${audience} }` }), [
    ['ALLOW', 'method: GET, port: 8080'],
    ['DENY', 'port: 9000'],
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

test('policies are for their namespace, the root namespace for all, and selectors for labels', () => {
  const deny = (selector: string, namespace: string) => ({
    namespace,
    spec: `{ action: DENY, ${selector} rules: [{}] }`,
  });
  const some = '{ namespace: prod, labels: { app: orders, tier: a } }';
  const other = '{ namespace: prod, labels: { app: other } }';
  const dev = '{ namespace: dev, labels: { app: orders } }';
  const rows = (a: 'ALLOW' | 'DENY', b: 'ALLOW' | 'DENY', c: 'ALLOW' | 'DENY'): Row[] => [
    [a, 'method: GET', some],
    [b, 'method: GET', other],
    [c, 'method: GET', dev],
  ];
  const selector = 'selector: { matchLabels: { app: orders } },';
  expectRows(policiesOf(deny('', 'prod')), rows('DENY', 'DENY', 'ALLOW'));
  expectRows(policiesOf(deny(selector, 'prod')), rows('DENY', 'ALLOW', 'ALLOW'));
  expectRows(policiesOf(deny('', 'istio-system')), rows('DENY', 'DENY', 'DENY'));
  expectRows(policiesOf(deny(selector, 'istio-system')), rows('DENY', 'ALLOW', 'DENY'));
  const moved = { ...defaultMesh, rootNamespace: 'root' };
  expectRows(policiesOf(deny('', 'root')), rows('DENY', 'DENY', 'DENY'), moved);
  expectRows(policiesOf(deny('', 'istio-system')), rows('ALLOW', 'ALLOW', 'ALLOW'), moved);
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
  const strict = `---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: a, namespace: prod }\nspec: { mtls: { mode: STRICT } }\n`;
  const named = `---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: a, namespace: prod }\nspec: { rules: [{ to: [{ operation: { ports: ["80", "5432"] } }] }, { from: [{ source: { principals: ["*"] } }] }, { when: [{ key: connection.sni, values: [a.example] }] }] }\n`;
  const rows: readonly Row[] = [
    ['ALLOW', 'method: GET, port: 80, host: x', edge],
    ['DENY', 'method: GET, port: 81, host: x', edge],
    ['DENY', `${web}, method: GET, port: 80`, edge],
    ['ALLOW', 'method: GET, port: 443, sni: a.example', edge],
    ['ALLOW', 'method: GET, port: 443, host: "a.example:443"', edge],
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
  const onlyNamed = parseIstioPolicies(
    `${istioGateway}${named.replace(/\{ when: .*\}\] \}, /, '').replace(', { when: [{ key: connection.sni, values: [a.example] }] }', '')}`,
    'all.yaml',
  );
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

test('addresses are compared by their bits, and v4 is not v6', () => {
  const by = (blocks: string) =>
    policiesOf({ spec: `{ rules: [{ from: [{ source: { ipBlocks: [${blocks}] } }] }] }` });
  const from = (ip: string) => `method: GET, sourceIp: "${ip}"`;
  expectRows(by('"10.1.2.3/12", "2001:db8::/33", "::1"'), [
    ['ALLOW', from('10.15.255.255')],
    ['DENY', from('10.16.0.0')],
    ['ALLOW', from('2001:db8:7fff::1')],
    ['DENY', from('2001:db8:8000::1')],
    ['ALLOW', from('0:0:0:0:0:0:0:1')],
    ['DENY', from('::ffff:10.1.2.3')],
    ['DENY', 'method: GET'],
  ]);
  expectRows(by('"0.0.0.0/0"'), [
    ['ALLOW', from('1.2.3.4')],
    ['DENY', from('::1')],
  ]);
});

test('hosts are compared with their port, whatever the case; methods with it', () => {
  const to = (operation: string) =>
    policiesOf({ spec: `{ rules: [{ to: [{ operation: { ${operation} } }] }] }` });
  expectRows(to('hosts: ["A.example", "*.b.example", "c.*"]'), [
    ['ALLOW', 'method: GET, host: a.EXAMPLE'],
    ['DENY', 'method: GET, host: "a.example:8080"'],
    ['ALLOW', 'method: GET, host: x.B.example'],
    ['DENY', 'method: GET, host: "x.b.example:80"'],
    ['DENY', 'method: GET, host: b.example'],
    ['ALLOW', 'method: GET, host: "c.d:80"'],
    ['DENY', 'method: GET'],
  ]);
  expectRows(to('hosts: ["*"]'), [['ALLOW', 'method: GET']]);
  expectRows(to('methods: ["P*"]'), [
    ['ALLOW', 'method: POST'],
    ['DENY', 'method: GET'],
    ['DENY', 'method: post'],
  ]);
});

test('claims are texts or lists of texts, nested by their path, and words where they are words', () => {
  const claim = (key: string, values: string) =>
    policiesOf({ spec: `{ rules: [{ when: [{ key: "${key}", ${values} }] }] }` });
  const with_ = (jwt: string) => `method: GET, jwt: ${jwt}`;
  expectRows(claim('request.auth.claims[groups]', 'values: [admin, "ops-*"]'), [
    ['ALLOW', with_('{ groups: admin }')],
    ['ALLOW', with_('{ groups: [user, ops-eu] }')],
    ['DENY', with_('{ groups: [user] }')],
    ['DENY', with_('{ groups: { admin: true } }')],
    ['DENY', with_('{ groups: 7 }')],
    ['DENY', 'method: GET'],
  ]);
  expectRows(claim('request.auth.claims[a][b]', 'values: ["*"]'), [
    ['ALLOW', with_('{ a: { b: [x] } }')],
    ['DENY', with_('{ a: { b: "" } }')],
    ['DENY', with_('{ a: [{ b: x }] }')],
    ['DENY', with_('{ "a.b": x }')],
  ]);
  expectRows(claim('request.auth.claims[scope]', 'values: [write]'), [
    ['ALLOW', with_('{ scope: "read write" }')],
    ['DENY', with_('{ scope: "read" }')],
  ]);
  expectRows(claim('request.auth.claims[sub]', 'notValues: [eve]'), [
    ['ALLOW', 'method: GET'],
    ['DENY', with_('{ sub: eve }')],
  ]);
  expectRows(claim('request.auth.principal', 'values: ["https://i.example/web", "*/cli"]'), [
    ['ALLOW', with_('{ iss: "https://i.example", sub: web }')],
    ['ALLOW', with_('{ iss: any, sub: cli }')],
    ['DENY', with_('{ iss: "https://i.example", sub: other }')],
    ['DENY', with_('{ sub: cli }')],
  ]);
});

test('words of other claims are split where a RequestAuthentication of the issuer says so', () => {
  const tokens = {
    kind: 'RequestAuthentication',
    spec: '{ jwtRules: [{ issuer: i, jwks: "{\\"keys\\":[]}", spaceDelimitedClaims: [roles] }] }',
  };
  const rule = {
    spec: '{ rules: [{ when: [{ key: "request.auth.claims[roles]", values: [b] }] }] }',
  };
  expectRows(policiesOf(tokens, rule), [
    ['ALLOW', 'method: GET, jwt: { iss: i, roles: "a b" }'],
    ['DENY', 'method: GET, jwt: { iss: other, roles: "a b" }'],
  ]);
});

test('AUDIT and dry runs change nothing; CUSTOM without its provider denies what it asks about', () => {
  const all = 'rules: [{}]';
  expectRows(policiesOf({ spec: `{ action: AUDIT, ${all} }` }), [['ALLOW', 'method: GET']]);
  const dry = '{ istio.io/dry-run: "true" }';
  expectRows(policiesOf({ annotations: dry, spec: `{ action: DENY, ${all} }` }), [
    ['ALLOW', 'method: GET'],
  ]);
  expectRows(policiesOf({ annotations: dry, spec: '{}' }), [['ALLOW', 'method: GET']]);
  const custom = policiesOf({
    spec: '{ action: CUSTOM, provider: { name: opa }, rules: [{ to: [{ operation: { paths: [/admin] } }] }] }',
  });
  expectRows(custom, [
    ['DENY', 'method: GET, path: /admin, port: 8080'],
    ['ALLOW', 'method: GET, path: /, port: 8080'],
    ['DENY', 'port: 9000'],
  ]);
  const mesh = parseMeshSettings(
    'extensionProviders: [{ name: opa, envoyExtAuthzHttp: {} }]',
    'mesh.yaml',
  );
  expectRows(
    custom,
    [
      ['DENY', 'method: GET, path: /admin, port: 8080'],
      ['ALLOW', 'port: 9000'],
    ],
    mesh,
  );
});

test('a policy without rules allows nothing, one with an empty rule everything, and none everything', () => {
  expectRows(policiesOf({ spec: '{}' }), [
    ['DENY', 'method: GET'],
    ['DENY', `${web}, method: GET`],
  ]);
  expectRows(policiesOf({ spec: '{ rules: [{}] }' }), [
    ['ALLOW', 'method: GET'],
    ['ALLOW', 'port: 9000'],
  ]);
  expectRows(policiesOf(), [
    ['ALLOW', 'method: GET'],
    ['ALLOW', 'port: 9000'],
  ]);
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

test('a key that only begins like one drops an ALLOW rule, and widens a DENY', () => {
  const when = 'rules: [{ when: [{ key: "request.headers-x[a]", values: [b] }] }]';
  expectRows(policiesOf({ spec: `{ ${when} }` }), [['DENY', 'method: GET, headers: { a: b }']]);
  expectRows(policiesOf({ spec: `{ action: DENY, ${when} }` }), [['DENY', 'method: GET']]);
});

test('a table that is none is refused with its place', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['{}', /expected array/],
    ['[{ request: {}, workload: {} }]', /expect: .*missing|expected "ALLOW" or "DENY"/],
    ['[{ expect: ALLOW, requst: {} }]', /unknown key "requst".*"request"/],
    ['[{ expect: allow }]', /expected "ALLOW" or "DENY"/],
    ['[{ expect: ALLOW, request: { sourceIp: x } }]', /expected an IP address/],
    ['[{ expect: ALLOW, request: { port: 70000 } }]', /70000|65535/],
    ['- { expect: ALLOW }\n---\n[]', /2 documents, expected one list/],
  ];
  for (const [text, message] of cases) {
    assert.throws(
      () => parseAuthzTable(text, 'table.yaml'),
      (thrown: unknown) => {
        assert.ok(thrown instanceof ConfigError);
        assert.match(thrown.message, message);
        assert.match(thrown.message, /^table\.yaml:\d+:\d+: /);
        return true;
      },
    );
  }
});
