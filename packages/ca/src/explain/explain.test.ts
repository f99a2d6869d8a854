import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock } from '@countersign/base';
import { extension } from '@countersign/x509';
import { exampleYaml, payments, request, testAuthority } from '../../test/authority-under-test.ts';
import { parseCaConfig, tryPolicy } from '../index.ts';

const hour = 3_600_000;
const yaml = `${exampleYaml}
profiles:
  web: { max_validity: "2h", for: [{ callers: [token], names: ["spiffe://example.com/ns/web/**"] }] }
policy:
  rules:
    - { name: lab, callers: ["spiffe://example.com/ns/lab/*"], allow: ["*.lab.internal"] }
    - name: prod
      callers: [token]
      allow: ["spiffe://example.com/**", "*.prod.internal"]
      when: size(dns) < 2
    - { name: operators, callers: [operator], allow: ["spiffe://example.com/**", "**.prod.internal"] }
    - { name: no-admins, deny: ["dns:admin.prod.internal"] }
`;

describe('an explanation', () => {
  it('of what would be issued names intermediate, profile and dates, and orders nothing', async () => {
    const authority = await testAuthority({ yaml });
    const before = await authority.ledger.status();
    const csr = await request();
    const names = { spiffeId: payments, dns: ['a.prod.internal'] };
    const told = await authority.explain({ csr, ...names, ttlMs: hour });
    assert.equal(told.decision, 'allow');
    assert.deepEqual(told.names, [`uri:${payments}`, 'dns:a.prod.internal']);
    assert.equal(told.certificate?.issuer, 'production');
    assert.equal(told.certificate?.profile, 'default');
    assert.ok(Math.abs((told.certificate?.notAfter ?? 0) - Date.now() - hour) < 5000);
    assert.deepEqual(await authority.ledger.status(), before);
  });

  it('of a refusal has every reason at once, each with what would pass', async () => {
    const authority = await testAuthority({ yaml });
    const told = await authority.explain({
      csr: await request({
        key: { type: 'Ed25519' },
        extensions: [extension.extKeyUsage(['codeSigning'])],
      }),
      spiffeId: payments,
      dns: ['admin.prod.internal'],
      ttlMs: 100 * hour,
    });
    assert.equal(told.decision, 'deny');
    assert.equal(told.certificate, undefined);
    assert.deepEqual(
      told.refusals.map(({ code, passIf }) => [code, passIf]),
      [
        ['ERR_POLICY_RULE', 'rule "no-admins" did not deny "dns:admin.prod.internal"'],
        ['ERR_CSR_USAGE', 'the request left "codeSigning" out, or the profile had it'],
        ['ERR_POLICY_KEY_KIND', 'the key were "ECDSA P-256" or longer'],
        ['ERR_POLICY_TTL', 'the lifetime were at most "72h"'],
      ],
    );
  });

  it('names the closest rule, clause by clause', () => {
    const config = parseCaConfig(yaml, 'ca.yaml');
    const told = tryPolicy({
      config,
      spiffeId: payments,
      dns: ['a.prod.internal', 'b.prod.internal'],
      caller: 'token',
      clock: systemClock,
    });
    assert.equal(told.decision, 'deny');
    const [refusal] = told.refusals;
    assert.equal(refusal?.passIf, 'rule "prod" had a condition that holds');
    assert.equal(refusal?.closest?.name, 'prod');
    assert.deepEqual(
      refusal?.closest?.clauses.map(({ clause, ok }) => [clause, ok]),
      [
        ['callers', true],
        ['when', false],
        ['allow', true],
      ],
    );
  });

  it('of a policy needs a configuration alone', () => {
    const config = parseCaConfig(yaml, 'ca.yaml');
    const ask = (more: object) => tryPolicy({ config, clock: systemClock, ...more });
    const told = ask({ spiffeId: 'spiffe://example.com/ns/web/a', caller: 'token' });
    assert.equal(told.certificate?.profile, 'web');
    const codes = (more: object) => ask(more).refusals.map(({ code }) => code);
    assert.deepEqual(codes({ spiffeId: payments, profile: 'web' }), []);
    assert.deepEqual(codes({ spiffeId: payments, profile: 'web', caller: 'token' }), [
      'ERR_POLICY_PROFILE',
    ]);
    assert.deepEqual(codes({ spiffeId: payments, issuer: 'prodution' }), ['ERR_POLICY_NO_ISSUER']);
    assert.deepEqual(codes({ spiffeId: 'spiffe://other/a' }), [
      'ERR_POLICY_SPIFFE_ID',
      'ERR_POLICY_RULE',
    ]);
    assert.deepEqual(codes({}), ['ERR_POLICY_SPIFFE_REQUIRED', 'ERR_POLICY_NAME_MISSING']);
    assert.deepEqual(codes({ csr: new Uint8Array([0x30, 0]) }), ['ERR_DER_TRUNCATED']);
  });

  it('names every name that is refused, and what a profile that is not for the request would hide', () => {
    const config = parseCaConfig(yaml, 'ca.yaml');
    const told = tryPolicy({
      config,
      spiffeId: payments,
      dns: ['a.elsewhere.internal', 'b.elsewhere.internal', 'a.prod.internal'],
      caller: 'token',
      profile: 'web',
      ttlMs: 100 * hour,
      clock: systemClock,
    });
    const of = (code: string) => told.refusals.filter((each) => each.code === code);
    assert.equal(of('ERR_POLICY_DNS').length, 2);
    // The condition of the closest rule holds for no name of these three.
    assert.equal(of('ERR_POLICY_RULE').length, 4);

    const [profile] = of('ERR_POLICY_PROFILE');
    assert.deepEqual(
      profile?.closest?.clauses.map(({ clause, ok }) => [clause, ok]),
      [
        ['callers', true],
        ['names', false],
      ],
    );
    assert.equal(of('ERR_POLICY_TTL')[0]?.passIf, 'the lifetime were at most "2h"');
  });

  it('says of blocks in the ledger, and of keys that were another identity', async () => {
    const authority = await testAuthority({ yaml: `${yaml}\nrequests: { reused_keys: refuse }\n` });
    const csr = await request();
    assert.ok((await authority.issue({ csr, spiffeId: payments })).ok);
    const orders = 'spiffe://example.com/ns/prod/sa/orders';
    const order = { by: 'spiffe-id', value: orders, reason: 'unspecified', block: true } as const;
    await authority.revoke(order, { kind: 'operator' });
    const told = await authority.explain({ csr, spiffeId: orders });
    assert.deepEqual(
      told.refusals.map(({ code }) => code),
      ['ERR_CSR_KEY_REUSED', 'ERR_LEDGER_BLOCKED'],
    );
    const mine = {
      by: 'provisioner',
      value: 'operator',
      reason: 'unspecified',
      block: true,
    } as const;
    await authority.revoke(mine, { kind: 'operator' });
    const [blocked] = (await authority.explain({ csr, spiffeId: payments })).refusals;
    assert.match(blocked?.detail ?? '', /provisioner "operator" was blocked by/);
    assert.match(blocked?.passIf ?? '', /^another provisioner vouched for it/);
  });
});
