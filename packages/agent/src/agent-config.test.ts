import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAgentConfig } from './index.ts';

const entry = `
entries:
  - spiffe_id: spiffe://example.org/web
    selectors: ["unix:uid:33", "unix:path:/usr/sbin/nginx"]
    hint: web
    ttl: 30m
    jwt_ttl: 1m
    dns: [web.internal]
    federates_with: [other.org]
`;

test('agent.yaml is read with its defaults, in order', () => {
  const config = parseAgentConfig(
    `agent: { socket: a.sock, ca: "https://ca:8440" }${entry}
federation:
  - { trust_domain: other.org, bundle_file: other.pem }
  - trust_domain: spiffe://third.org
    bundle_file: third.json
    bundle_endpoint:
      url: https://third.org/bundle
      profile: https_spiffe
      endpoint_spiffe_id: spiffe://third.org/endpoint
  - trust_domain: web.org
    bundle_endpoint: { url: "https://web.org/b", profile: https_web }
`,
    'agent.yaml',
  );
  const [only] = config.entries;
  assert.equal(only?.spiffeId, 'spiffe://example.org/web');
  assert.deepEqual([only?.ttlMs, only?.jwtTtlMs], [1_800_000, 60_000]);
  assert.equal(config.maxConnections, 10_000);
  assert.deepEqual(
    config.federation.map(({ trustDomain, source }) => [trustDomain, source.kind]),
    [
      ['other.org', 'file'],
      ['third.org', 'https_spiffe'],
      ['web.org', 'https_web'],
    ],
  );
  assert.deepEqual(parseAgentConfig('{}', 'agent.yaml').entries, []);
});

test('the id of an entry stays while what it certifies stays', () => {
  const idOf = (text: string) => parseAgentConfig(text, 'agent.yaml').entries[0]?.id;
  assert.equal(idOf(entry), idOf(entry.replace('hint: web', 'hint: other')));
  assert.notEqual(idOf(entry), idOf(entry.replace('30m', '31m')));
  assert.notEqual(idOf(entry), idOf(entry.replace('uid:33', 'uid:34')));
});

test('everything that is wrong is named, with its place', () => {
  for (const [text, reason] of [
    [entry.replace('unix:uid:33', 'unix:uidd:33'), /agent.yaml:3.*nearest is "unix:uid"/],
    [entry.replace('/web\n', '\n'), /names a trust domain/],
    [`${entry}${entry.replace('\nentries:\n', '')}`, /stands here twice/],
    [entry.replace('selectors', 'selector'), /unknown key "selector".*"selectors"/],
    [entry.replace('["unix:uid:33", "unix:path:/usr/sbin/nginx"]', '[]'), /selectors/],
    ['federation: [{ trust_domain: a.org }]', /bundle_file or bundle_endpoint is missing/],
    [
      'federation: [{ trust_domain: a.org, bundle_endpoint: { url: "https://a", profile: https_spiffe } }]',
      /needs endpoint_spiffe_id, and bundle_file/,
    ],
    [
      'federation: [{ trust_domain: a.org, bundle_file: x, bundle_endpoint: { url: "https://a", profile: https_web } }]',
      /https_spiffe alone/,
    ],
    ['attest: { fingerprint: x, aws: {} }', /64 lowercase hexadecimal/],
    [
      `attest: { fingerprint: ${'ab'.repeat(32)} }`,
      /one of "kubernetes", .* is expected, found none/,
    ],
    [`attest: { fingerprint: ${'ab'.repeat(32)}, aws: {}, azure: {} }`, /found "aws" and "azure"/],
    [`attest: { fingerprint: ${'ab'.repeat(32)}, azure: { client_id: x } }`, /client_id goes with/],
    [`attest: { fingerprint: ${'ab'.repeat(32)}, aws: { metadata: ftp://x } }`, /http:/],
    ['federation: [{ trust_domain: A.org, bundle_file: x }]', /not lowercase/],
  ] as const) {
    assert.throws(() => parseAgentConfig(text, 'agent.yaml'), reason);
  }
});
