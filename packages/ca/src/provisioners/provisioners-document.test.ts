import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { parseCaConfig } from '../ca-config.ts';

const text = readFileSync(new URL('../../../../docs/provisioners.md', import.meta.url), 'utf8');
const hierarchy = `
ca:
  root: { curve: P-256, validity: 720h }
  intermediate: { services: { curve: P-256, validity: 168h } }
`;

it('docs/provisioners.md has an example that ca.yaml takes', () => {
  const [, example = ''] = /```yaml\n([\s\S]*?)```/.exec(text) ?? [];
  const { provisioners } = parseCaConfig(`${hierarchy}${example}`, 'docs/provisioners.md');
  const types = provisioners.map(({ type }) => type);
  assert.deepEqual(types, ['oidc', 'kubernetes', 'jwk', 'x5c']);
  assert.equal(provisioners[2]?.issuer, 'operators');
  assert.equal(provisioners[0]?.requestsPerHour, 1000);
});

const oidc = 'name: a, type: oidc, issuer: "https://i.test", audiences: [x]';
const wrong: readonly (readonly [string, string, RegExp])[] = [
  ['an unknown key', `{ ${oidc}, claim: {} }`, /claim/],
  ['an OIDC issuer without claims', `{ ${oidc}, dns: ["{sub}"] }`, /whoever has a token/],
  ['one that gives no name', `{ ${oidc}, claims: { sub: a } }`, /nobody could get a name/],
  [
    'a foreign SPIFFE ID',
    `{ ${oidc}, claims: { sub: a }, spiffe_id: "spiffe://b/{sub}" }`,
    /below "spiffe:\/\/example.com\/"/,
  ],
  [
    'two places of keys',
    `{ ${oidc}, claims: { sub: a }, dns: [a.test], jwks_url: u, jwks_file: f }`,
    /one of both/,
  ],
  ['a one-time token without keys', '{ name: a, type: jwk, audiences: [x] }', /jwks_file is miss/],
  ['a certificate without roots', '{ name: a, type: x5c, audiences: [x] }', /roots_file is miss/],
  [
    'names beside those of a one-time token',
    '{ name: a, type: jwk, jwks_file: f, audiences: [x], dns: [a.test] }',
    /dns is nothing of type jwk/,
  ],
  ['no audience', '{ name: a, type: jwk, jwks_file: f, audiences: [] }', /audiences/],
  [
    'a profile that is not there',
    '{ name: a, type: jwk, jwks_file: f, audiences: [x], profile: gold }',
    /"gold" is not there/,
  ],
  [
    'a name twice',
    '&a { name: a, type: jwk, jwks_file: f, audiences: [x] }, *a',
    /"a" is there twice/,
  ],
];
for (const [what, entry, message] of wrong) {
  it(`ca.yaml refuses ${what} under provisioners`, () => {
    const services = 'service_certificates: { san_policies: { spiffe_trust_domain: example.com } }';
    const yaml = `${hierarchy}${services}\nprovisioners: [${entry}]\n`;
    assert.throws(() => parseCaConfig(yaml, 'ca.yaml'), { message });
  });
}
