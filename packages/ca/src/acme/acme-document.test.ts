import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { parseCaConfig } from '../ca-config.ts';

const text = readFileSync(new URL('../../../../docs/acme.md', import.meta.url), 'utf8');
const hierarchy = `
ca:
  root: { curve: P-256, validity: 720h }
  intermediate: { services: { curve: P-256, validity: 168h } }
`;

it('docs/acme.md has an example that ca.yaml takes, and every key that it knows', () => {
  const [, example = ''] = /```yaml\n([\s\S]*?)```/.exec(text) ?? [];
  const { acme } = parseCaConfig(`${hierarchy}${example}`, 'docs/acme.md');
  assert.equal(acme?.externalAccountRequired, true);
  assert.deepEqual(acme?.validation.vantages, [['10.0.0.53']]);
  const { acme: least } = parseCaConfig(
    `${hierarchy}${example.slice(0, example.indexOf('acme:'))}acme: {}\n`,
    'docs/acme.md',
  );
  const { httpPort, tlsAlpnPort, mayFail, timeoutMs } = least?.validation ?? {};
  assert.deepEqual([httpPort, tlsAlpnPort, mayFail, timeoutMs], [80, 443, 0, 10_000]);
  assert.deepEqual(least?.limits, { accountsPerHour: 60, ordersPerHour: 300, identifiers: 60 });
});

const wrong: readonly (readonly [string, string, RegExp])[] = [
  ['an unknown key', 'acme: { chalenges: [] }', /chalenges/],
  ['an unknown challenge', 'acme: { challenges: [http-02] }', /http-02|http-01/],
  ['a required account that is nobody', 'acme: { external_account_required: true }', /names none/],
  ['a path of the API', 'acme: { path: /v1/acme }', /apart from \/v1/],
  [
    'a foreign SPIFFE ID',
    'acme: { profiles: { a: { spiffe_id: "spiffe://b/c" } } }',
    /below "spiffe:/,
  ],
  ['a profile that is not there', 'acme: { profiles: { a: { profile: gold } } }', /no profile/],
  ['a resolver by name', 'acme: { validation: { resolvers: [dns.test] } }', /IP address/],
  ['more failures than vantages', 'acme: { validation: { may_fail: 1 } }', /fewer than/],
  ['no network', 'acme: { validation: { allow: [everywhere] } }', /expected a network/],
];
for (const [what, yaml, message] of wrong) {
  it(`ca.yaml refuses ${what} under acme`, () => {
    const services = 'service_certificates: { san_policies: { spiffe_trust_domain: example.com } }';
    assert.throws(() => parseCaConfig(`${hierarchy}${services}\n${yaml}\n`, 'ca.yaml'), {
      message,
    });
  });
}
