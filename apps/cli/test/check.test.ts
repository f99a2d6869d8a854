import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { temporaryDirectory } from './countersign.ts';
import { countersign } from './in-process.ts';

let directory = '';
const file = (name: string) => join(directory, name);

const good: Readonly<Record<string, string>> = {
  'ca.yaml': `
ca:
  root: { algorithm: ECDSA, curve: P-384, validity: 87600h }
  intermediate:
    services: { curve: P-256, nameConstraints: { permitted: [.prod.example.com] } }
service_certificates:
  validity: 24h
  max_validity: 48h
  san_policies: { require_spiffe: true, spiffe_trust_domain: example.com }
`,
  'gateway.yaml': `
listen: { port: 0 }
routes:
  - match: { pathPrefix: / }
    upstream: { url: 'https://127.0.0.1:9001', spiffeId: spiffe://example.com/orders }
`,
  'policies.yaml': `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: orders }
spec:
  action: ALLOW
  rules: [{ from: [{ source: { principals: [example.com/payments] } }] }]
`,
  'mesh.yaml': `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: shop, namespace: prod }
spec:
  hosts: [shop.test]
  http: [{ route: [{ destination: { host: shop.test, port: { number: 80 } } }] }]
`,
  'envoy.yaml': `
static_resources:
  listeners:
    - address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
      filter_chains:
        - filters:
            - typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                cluster: web
  clusters:
    - { name: web, load_assignment: { endpoints: [] } }
`,
};

const bad: Readonly<Record<string, string>> = {
  'bad-ca.yaml': good['ca.yaml']!.replace('intermediate:', 'intermediat:').replace(
    'P-384',
    '[P-384]',
  ),
  'bad-gateway.yaml': good['gateway.yaml']!.replace('pathPrefix', 'pathPrefx').replace(
    '0 }',
    '70000 }',
  ),
  'bad-policies.yaml': good['policies.yaml']!.replace('action', 'acton'),
  'bad-mesh.yaml': good['mesh.yaml']!.replace('http: [{', 'http: [{ delegate: { name: others },'),
  'bad-envoy.yaml': good['envoy.yaml']!.replace('cluster: web', 'clustr: web'),
  'bad-keep.yaml':
    'keep: { ca: "https://127.0.0.1:1", identity: id, authorites: {} }\n---\nkind: Certificate\n',
  'broken.yaml': 'ca: {\n',
  'other.yaml': 'name: something\nrouts: []\n',
};

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  for (const [name, content] of Object.entries({ ...good, ...bad })) {
    await writeFile(file(name), content);
  }
});

test('good files of every kind are told apart by their content', async () => {
  const ran = await countersign(['check', ...Object.keys(good).map(file)]);
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(ran.stderr, '');
  assert.match(ran.stdout, /ok .*ca\.yaml: authority/);
  assert.match(ran.stdout, /ok .*gateway\.yaml: gateway/);
  assert.match(ran.stdout, /ok .*policies\.yaml: authorization policies/);
  assert.match(ran.stdout, /ok .*mesh\.yaml: authorization policies/);
  assert.match(ran.stdout, /note .*mesh\.yaml: "shop\.test" is in no ServiceEntry/);
  assert.match(ran.stdout, /ok .*envoy\.yaml: gateway/);
});

test('every finding is listed with its place and the nearest valid key; what cannot be read exits 2', async () => {
  const names = [...Object.keys(bad), 'none.yaml', 'ca.yaml'];
  const words = ['check', ...names.map(file)];
  const [text, json] = await Promise.all([
    countersign(words),
    countersign([...words, '-o', 'json']),
  ]);
  assert.equal(text.code, 2);
  assert.match(text.stdout, /^ok .*\/ca\.yaml: authority\n/);
  for (const said of [
    /bad-ca\.yaml:4:3: unknown key "intermediat".*"intermediate"/,
    /bad-ca\.yaml:3:\d+: ca\.root\.curve: /,
    /bad-gateway\.yaml:2:\d+: .*70000|bad-gateway\.yaml:2:\d+: .*65535/,
    /bad-gateway\.yaml:4:\d+: unknown key "pathPrefx".*"pathPrefix"/,
    /bad-policies\.yaml:6:3: unknown key "acton".*"action"/,
    /bad-mesh\.yaml:7:\d+: spec\.http\.0\.delegate: /,
    /bad-envoy\.yaml:9:\d+: unknown key "clustr".*"cluster"/,
    /bad-keep\.yaml:1:\d+: unknown key "authorites".*"authorities"/,
    /broken\.yaml:2:1: /,
    /other\.yaml: it has the keys "name", "routs".*for "routs" the nearest is "routes"/,
    /none\.yaml": no such file/,
  ]) {
    assert.match(text.stderr, said);
  }
  assert.equal(json.code, 2);
  assert.equal(json.stderr, '');
  const report = JSON.parse(json.stdout);
  assert.equal(report.ok, false);
  assert.deepEqual(
    report.files.map((each: { ok: boolean }) => each.ok),
    [...Array(9).fill(false), true],
  );
  const [ca] = report.files;
  assert.equal(ca.findings.length, 2);
  assert.deepEqual(ca.findings.map((finding: { code: string }) => finding.code).sort(), [
    'ERR_CONFIG_UNKNOWN_KEY',
    'ERR_CONFIG_VALUE',
  ]);
});

test('a file that can be read and has findings exits 1', async () => {
  const ran = await countersign(['check', file('bad-policies.yaml')]);
  assert.equal(ran.code, 1, ran.stderr);
});

test('a gateway is checked with the policies that it names: their findings, and names used twice', async () => {
  const gatewayWith = (policies: string) => `policies: [${policies}]\n${good['gateway.yaml']}`;
  await writeFile(file('whole.yaml'), gatewayWith('policies.yaml'));
  await writeFile(file('again.yaml'), good['policies.yaml']!);
  await writeFile(file('twice.yaml'), gatewayWith('policies.yaml, again.yaml'));
  await writeFile(file('lame.yaml'), gatewayWith('bad-policies.yaml'));
  await writeFile(file('lost.yaml'), gatewayWith('nowhere.yaml'));
  const check = (name: string) => countersign(['check', '-o', 'json', file(name)]);
  const ran = await Promise.all(['whole.yaml', 'twice.yaml', 'lame.yaml', 'lost.yaml'].map(check));
  assert.deepEqual(
    ran.map(({ code }) => code),
    [0, 1, 1, 2],
  );
  const [, twice, lame] = ran.map(({ stdout }) => JSON.parse(stdout).files[0].findings[0]);
  assert.equal(twice.code, 'ERR_AUTHZ_TWICE');
  assert.match(twice.message, /policies\.yaml and .*again\.yaml/);
  assert.deepEqual([lame.file, lame.line], [file('bad-policies.yaml'), 6]);
});

test('a key under a password that is missing, or is under none, is a finding', async () => {
  await writeFile(file('plain.jwk'), '{"kty":"EC","d":"AA"}');
  for (const [name, what] of [
    ['nowhere.jwe', /nowhere\.jwe/],
    ['plain.jwk', /plain\.jwk": it is no JWE under a password/],
  ] as const) {
    const keys = `jwks_file: keys.jwks, encrypted_key_file: ${file(name)}, audiences: [ca]`;
    const provisioners = `provisioners: [{ name: operators, type: jwk, ${keys} }]\nstep: {}\n`;
    await writeFile(file('step-ca.yaml'), `${good['ca.yaml']}${provisioners}`);
    const ran = await countersign(['check', '-o', 'json', file('step-ca.yaml')]);
    const [found] = JSON.parse(ran.stdout).files[0].findings;
    assert.deepEqual([ran.code, found.code], [1, 'ERR_PROVISIONER_FILE']);
    assert.match(found.message, what);
  }
});

test('every finding of a file is listed with its place, those behind a bad duration too', async () => {
  await writeFile(
    file('many-ca.yaml'),
    good['ca.yaml']!.replace('87600h', '10 years')
      .replace('services: { curve: P-256', 'services: { curve: P-999, validity: 1x')
      .replace('48h', 'two')
      .replace('example.com }', 'Example }'),
  );
  await writeFile(
    file('many-gateway.yaml'),
    `${good['gateway.yaml']}  - match: { pathPrefix: /, host: a }
    upstream: { url: 'https://127.0.0.1:9001/x', spiffeId: spiffe//a, timeout: 3z }
limits: { idleTimeout: 1 h }
ca: http://127.0.0.1
`,
  );
  const ran = await countersign([
    'check',
    file('many-ca.yaml'),
    file('many-gateway.yaml'),
    '-o',
    'json',
  ]);
  assert.equal(ran.code, 1, ran.stderr);
  const [ca, gateway] = JSON.parse(ran.stdout).files.map(
    (each: { findings: { path: string; line: number }[] }) =>
      each.findings.map(({ path, line }) => `${line} ${path}`),
  );
  assert.deepEqual(ca, [
    '3 ca.root.validity',
    '5 ca.intermediate.services.curve',
    '5 ca.intermediate.services.validity',
    '8 service_certificates.max_validity',
    '9 service_certificates.san_policies.spiffe_trust_domain',
  ]);
  assert.deepEqual(gateway, [
    '6 routes.1.match',
    '7 routes.1.upstream.url',
    '7 routes.1.upstream.spiffeId',
    '7 routes.1.upstream.timeout',
    '8 limits.idleTimeout',
    '9 ca',
  ]);
});
