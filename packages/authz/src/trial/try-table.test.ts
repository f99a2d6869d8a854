import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '@countersign/config';
import { defaultMesh, parseMeshSettings } from '../policy/mesh-settings.ts';
import { parseAuthzTable } from './authz-table.ts';
import { expectRows, policiesOf, type Row, web } from './table-world.suite.ts';

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
  expectRows(to('hosts: [d.example]'), [
    ['ALLOW', 'method: GET, host: x, path: "http://d.example/a?b"'],
    ['DENY', 'method: GET, host: d.example, path: "http://x/a"'],
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
