import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { parseCaConfig } from '../ca-config.ts';

const text = readFileSync(new URL('../../../../docs/vault.md', import.meta.url), 'utf8');
const hierarchy = `
ca:
  root: { curve: P-256, validity: 720h }
  intermediate: { services: { curve: P-256, validity: 168h } }
`;

it('docs/vault.md has an example that ca.yaml takes, and the defaults that it says', () => {
  const [, example = ''] = /```yaml\n([\s\S]*?)```/.exec(text) ?? [];
  const { vault } = parseCaConfig(`${hierarchy}${example}`, 'docs/vault.md');
  assert.deepEqual(vault?.mounts[0]?.intermediate, 'services');
  assert.deepEqual(vault?.tokens[0]?.policies, ['root']);
  const day = 86_400_000;
  const { provisioner, newMounts, tokenMs, longestTokenMs, allow, limits } = vault ?? {};
  assert.deepEqual([provisioner, newMounts, allow], ['vault', false, []]);
  assert.deepEqual([tokenMs, longestTokenMs], [32 * day, 32 * day]);
  assert.deepEqual(limits, { failedLogins: 20, failedLoginMs: 3000 });
});

const wrong: readonly (readonly [string, string, RegExp])[] = [
  ['an unknown key', '{ mount: {} }', /"mounts"/],
  ['nothing to ask for', '{}', /names no mount/],
  [
    'an intermediate that is not there',
    '{ mounts: { pki: { intermediate: servces } } }',
    /nearest is "services"/,
  ],
  ['a path of the API', '{ mounts: { revoke: { intermediate: services } } }', /own API/],
  ['a path of the system', '{ mounts: { sys: { intermediate: services } } }', /server's own/],
  [
    'a token without policies',
    '{ new_mounts: true, tokens: [{ name: a, token_file: b, policies: [] }] }',
    /tokens/,
  ],
  [
    'a token twice',
    '{ new_mounts: true, tokens: [{ name: a, token_file: b, policies: [c] }, { name: a, token_file: b, policies: [c] }] }',
    /twice/,
  ],
  ['no network', '{ new_mounts: true, allow: [everywhere] }', /expected a network/],
  [
    'a lifetime beyond its bound',
    '{ new_mounts: true, token_lifetime: 2h, max_token_lifetime: 1h }',
    /token_lifetime/,
  ],
];
for (const [what, yaml, message] of wrong) {
  it(`ca.yaml refuses ${what} under vault`, () => {
    const services = 'service_certificates: { san_policies: { spiffe_trust_domain: example.com } }';
    const whole = `${hierarchy}${services}\nvault: ${yaml}\n`;
    assert.throws(() => parseCaConfig(whole, 'ca.yaml'), { message });
  });
}
