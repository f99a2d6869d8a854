import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expectedIds, parseRouterConfig, routerJsonSchema } from './router-config.ts';

const read = (text: string, env = {}) => parseRouterConfig(text, 'router.yaml', env);

test('a path to a supergraph is enough, and everything else is safe', () => {
  const config = read('supergraph: s.graphql');
  assert.deepEqual(config.listen, {
    address: '127.0.0.1',
    port: 4000,
    path: '/graphql',
    client_mtls: 'off',
  });
  assert.equal(config.mtls.enabled, true);
  assert.equal(config.mtls.allow_fallback, false);
  assert.equal(config.mtls.verify_hostname, true);
  assert.equal(config.mtls.cert_ttl_secs, 3600);
  assert.deepEqual(expectedIds(config, 'users'), ['spiffe://cluster.local/ns/default/sa/users']);
});

test('environment variables stand in values, with defaults, and keep their kind', () => {
  const text = `
supergraph: "\${DIR}/s.graphql"
listen: { port: "\${PORT:-4100}", path: "/\${PATH_PART:-api}" }
mtls: { enabled: "\${MTLS}", trust_domain: "$\${literal}" }`;
  assert.throws(() => read(text, { DIR: 'x', MTLS: 'true' }), /trust domain/);
  const config = read(text.replace('$${literal}', 'a.example'), { DIR: '/x', MTLS: 'false' });
  assert.equal(config.supergraph, '/x/s.graphql');
  assert.equal(config.listen.port, 4100);
  assert.equal(config.listen.path, '/api');
  assert.equal(config.mtls.enabled, false);
});

const issuer = 'issuer: { files: { key: k.pem, cert: c.pem, roots: r.pem } }';
const crl = 'revocation: { method: crl }';

test('an issuer has the shape that it has elsewhere, and says how it is known who is revoked', () => {
  const config = read(`supergraph: s\n${issuer}\n${crl}`);
  assert.equal(config.issuer?.files?.cert, 'c.pem');
  assert.deepEqual(config.revocation?.method, ['crl']);
});

const refused: readonly (readonly [string, RegExp])[] = [
  ['supergraph: s\nmtls:\n  enabld: true', /router\.yaml:3:3: unknown key "enabld".*"enabled"/],
  [
    'supergraph: "$' + '{NOPE}"',
    /router\.yaml:1:13: supergraph: environment variable "NOPE" is not set/,
  ],
  ['mtls: {}', /"supergraph" is missing/],
  ['supergraph: s\nmtls: { ca_cert_path: a }', /"ca_key_path"/],
  ['subgraphs: [{ name: a }]', /"url" is missing/],
  ['supergraph: s\nsubgraphs: [{ name: a, schema: b }]', /not read, "supergraph" is given/],
  [
    'subgraphs: [{ name: a, url: "https://x" }, { name: a, url: "https://y" }]',
    /that of subgraphs\.0/,
  ],
  ['supergraph: s\nsubgraphs: [{ name: a, spiffe_id: "x" }]', /expected a SPIFFE ID/],
  ['supergraph: s\nauthority: {}', /"url", "identity" or "workload_api" is missing/],
  ['supergraph: s\nauthority: { workload_api: "tcp://x" }', /expected unix:/],
  [
    'supergraph: s\nauthority: { workload_api: unix:///a, identity: d }',
    /the identity is that of "workload_api"/,
  ],
  ['supergraph: s\njwt: { jwks: "http://x/", issuer: i, audience: a }', /a path or https/],
  ['supergraph: s\njwt: { jwks: k.json, ca: c.pem, issuer: i, audience: a }', /is for a URL/],
  ['supergraph: s\noverride_labels: { a: 101 }', /override_labels/],
  ['supergraph: s\nrevocation: {}', /needs "authority\.url" or "issuer"/],
  [`supergraph: s\n${issuer}`, /issuer: "revocation" is missing, .*choose crl/],
  [`supergraph: s\n${issuer}\nrevocation: { method: feed }`, /revocation: its method feed/],
  [`supergraph: s\n${issuer}\n${crl}\nmtls: { service_name: z }`, /mtls\.service_name: is for/],
  [`supergraph: s\n${issuer}\nauthority: { identity: d }`, /"authority" is there as well/],
  [
    `supergraph: s\n${issuer}\nmtls: { ca_cert_path: a, ca_key_path: b }`,
    /names a local authority already/,
  ],
  [
    `supergraph: s\n${issuer}\n${crl}\nsubgraphs: [{ name: a, identity: { service_name: b } }]`,
    /needs a local authority, "issuer" is given/,
  ],
  [
    'supergraph: s\nmtls: { enabled: false }\nlisten: { client_mtls: required }',
    /needs an identity/,
  ],
  ['supergraph: s\nlimits: { max_depth: 0 }', /max_depth/],
];

for (const [text, message] of refused) {
  test(`refused with its place: ${text.split('\n').at(-1)}`, () => {
    assert.throws(() => read(text), message);
  });
}

test('who must answer at a subgraph is stated, or made of its parts', () => {
  const config = read(`
supergraph: s
mtls: { trust_domain: a.example, namespace: prod }
subgraphs:
  - { name: one, mtls: { namespace: other, service_name: one-service } }
  - { name: two, spiffe_id: [spiffe://b.example/x, spiffe://b.example/y] }`);
  assert.deepEqual(expectedIds(config, 'one'), ['spiffe://a.example/ns/other/sa/one-service']);
  assert.deepEqual(expectedIds(config, 'two'), ['spiffe://b.example/x', 'spiffe://b.example/y']);
  assert.deepEqual(expectedIds(config, 'three'), ['spiffe://a.example/ns/prod/sa/three']);
});

test('the JSON Schema has every section', () => {
  const { properties } = routerJsonSchema() as { properties: object };
  for (const key of ['listen', 'supergraph', 'mtls', 'subgraphs', 'authority', 'limits']) {
    assert.ok(key in properties, key);
  }
});
