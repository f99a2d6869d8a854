import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { parseCaConfig } from '../ca-config.ts';
import { provisionerTypes } from './provisioner-config.ts';
import { provisionersSchema } from './provisioner-schema.ts';

const docs = new URL('../../../../docs/', import.meta.url);
const pageOf = (name: string) => readFileSync(new URL(name, docs), 'utf8');
const exampleIn = (name: string) => /```yaml\n([\s\S]*?)```/.exec(pageOf(name))?.[1] ?? '';
const hierarchy = `
ca:
  root: { curve: P-256, validity: 720h }
  intermediate: { services: { curve: P-256, validity: 168h } }
`;

for (const type of provisionerTypes) {
  it(`docs/provisioners/${type}.md has an example that ca.yaml takes, and the overview names it`, () => {
    const page = `provisioners/${type}.md`;
    const yaml = `${hierarchy}${exampleIn('provisioners.md')}${exampleIn(page)}`;
    const { provisioners } = parseCaConfig(yaml, page);
    const types = new Set(provisioners.map((each) => each.type));
    assert.deepEqual([...types], [type]);
    assert.match(pageOf(page), /```sh\n[\s\S]*countersign enrol/);
    assert.match(
      pageOf('provisioners.md'),
      new RegExp(`\\[\`${type}\`\\]\\(provisioners/${type}.md\\)`),
    );
  });
}

it('docs/provisioners.md says every key, and the defaults that there are', () => {
  const text = pageOf('provisioners.md');
  for (const key of Object.keys(provisionersSchema.element.shape)) {
    assert.match(text, new RegExp(`\`${key}\``), key);
  }
  const yaml = `${hierarchy}${exampleIn('provisioners.md')}${exampleIn('provisioners/jwk.md')}`;
  const [jwk] = parseCaConfig(yaml, 'docs').provisioners;
  assert.deepEqual([jwk?.issuer, jwk?.requestsPerHour], ['operators', 1000]);
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
    'an instance of AWS without the certificates of its regions',
    '{ name: a, type: aws, claims: { accountId: "1" }, dns: ["{instanceId}"] }',
    /certificates_file is missing/,
  ],
  [
    'any account of AWS',
    '{ name: a, type: aws, certificates_file: f, claims: { region: x }, dns: ["{instanceId}"] }',
    /does not say "accountId": every machine/,
  ],
  [
    'an audience of documents',
    '{ name: a, type: aws, certificates_file: f, claims: { accountId: "1" }, dns: [a.test], audiences: [x] }',
    /audiences are nothing of documents/,
  ],
  [
    'both ways of Azure',
    '{ name: a, type: azure, roots_file: f, issuer: i, audiences: [x], claims: { subscriptionId: s }, dns: [a.test] }',
    /one is expected/,
  ],
  [
    'an age of a machine that has none',
    '{ name: a, type: azure, roots_file: f, claims: { subscriptionId: s }, dns: [a.test], max_instance_age: 1h }',
    /max_instance_age is nothing of type azure/,
  ],
  [
    'a nonce of a token',
    '{ name: a, type: azure, issuer: i, audiences: [x], claims: { subscriptionId: s }, dns: [a.test], nonce: any }',
    /nonce is of documents/,
  ],
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

it('ca.yaml tells that every TPM of a maker may come', () => {
  const services = 'service_certificates: { san_policies: { spiffe_trust_domain: example.com } }';
  const entry =
    '{ name: a, type: tpm, roots_file: m.pem, claims: { ek: "*" }, dns: ["{ek}.test"] }';
  const { notices } = parseCaConfig(
    `${hierarchy}${services}\nprovisioners: [${entry}]\n`,
    'ca.yaml',
  );
  assert.ok(
    notices.some((each) => /ek is "\*", so that every genuine TPM below "m.pem"/.test(each)),
  );
});
