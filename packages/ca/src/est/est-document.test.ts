import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { parseCaConfig } from '../ca-config.ts';

const text = readFileSync(new URL('../../../../docs/est.md', import.meta.url), 'utf8');
const hierarchy = `
ca:
  root: { curve: P-256, validity: 720h }
  intermediate: { services: { curve: P-256, validity: 168h } }
`;

it('docs/est.md has an example that ca.yaml takes, and the defaults that it knows', () => {
  const [, example = ''] = /```yaml\n([\s\S]*?)```/.exec(text) ?? [];
  const { est } = parseCaConfig(`${hierarchy}${example}`, 'docs/est.md');
  const [label] = est?.labels ?? [];
  assert.deepEqual([label?.name, label?.provisioner], ['meters', 'meters']);
  assert.equal(est?.devices[0]?.spiffeId, 'spiffe://example.com/meters/{serialNumber}');
  const bare = example.slice(0, example.indexOf('est:'));
  const { est: least } = parseCaConfig(`${hierarchy}${bare}est: {}\n`, 'docs/est.md');
  assert.deepEqual(least, {
    unlabelled: {
      ...{ name: undefined, provisioner: 'est', intermediate: undefined },
      ...{ profile: undefined, lifetimeMs: undefined },
    },
    ...{ labels: [], users: [], devices: [], decryptKeys: [] },
    ...{ serverKeygen: false, channelBinding: 'optional' },
    limits: { failedLogins: 20, failedLoginMs: 3000, requestsPerHour: 1000 },
  });
});

const wrong: readonly (readonly [string, string, RegExp])[] = [
  ['an unknown key', 'est: { user: [] }', /user/],
  ['a label that is an operation', 'est: { labels: { cacerts: {} } }', /none of the operations/],
  ['an intermediate that is not there', 'est: { intermediate: service }', /nearest is "services"/],
  ['a profile that is not there', 'est: { labels: { a: { profile: gold } } }', /no profile "gold"/],
  ['a user twice', 'est: { users: [&a { name: a, password_file: f }, *a] }', /"a" is there twice/],
  ['a user with a colon', 'est: { users: [{ name: "a:b", password_file: f }] }', /colon/],
  [
    'a label of a user that is not there',
    'est: { users: [{ name: a, password_file: f, labels: [b] }] }',
    /no label "b"/,
  ],
  ['a device without names', 'est: { devices: [{ name: a, roots_file: f }] }', /could get nothing/],
  [
    'an attribute that no subject has',
    'est: { devices: [{ name: a, roots_file: f, names: ["{MAC}.a.test"] }] }',
    /found "{MAC}"/,
  ],
  [
    'a foreign SPIFFE ID',
    'est: { devices: [{ name: a, roots_file: f, spiffe_id: "spiffe://b/{CN}" }] }',
    /below "spiffe:\/\/example.com\/"/,
  ],
  ['shared keys for nothing', 'est: { decrypt_keys: { a: f } }', /server_keygen is not true/],
  ['a bound of no use', 'est: { limits: { failed_login_every: 1d } }', /10ms to 1h/],
];
for (const [what, yaml, message] of wrong) {
  it(`ca.yaml refuses ${what} under est`, () => {
    const services = 'service_certificates: { san_policies: { spiffe_trust_domain: example.com } }';
    assert.throws(() => parseCaConfig(`${hierarchy}${services}\n${yaml}\n`, 'ca.yaml'), {
      message,
    });
  });
}
