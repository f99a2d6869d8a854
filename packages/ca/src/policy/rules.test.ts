import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError } from '@countersign/config';
import {
  exampleYaml,
  issuedOf,
  payments,
  peerOf,
  refused,
  request,
  testAuthority,
} from '../../test/authority-under-test.ts';
import { parseCaConfig } from '../index.ts';
import { type GivenName, parseNamePattern } from './name-pattern.ts';

const yaml = (rules: string, base = exampleYaml) => `${base}\npolicy:\n  rules:\n${rules}\n`;

describe('rules of names', () => {
  const ask = async (rules: string, names: object, more: object = {}) => {
    const authority = await testAuthority({ yaml: yaml(rules) });
    return authority.issue({ csr: await request(), ...names, ...more });
  };
  const ofProd = { spiffeId: payments, dns: ['payments.prod.internal'] };

  it('admit what some rule allows, and nothing else', async () => {
    const rules = `
    - { name: prod, allow: ["spiffe://example.com/ns/prod/**", "*.prod.internal"] }
    - { name: lab, callers: ["spiffe://example.com/ns/lab/**"], allow: ["*"] }`;
    issuedOf(await ask(rules, ofProd));
    const lab = { spiffeId: 'spiffe://example.com/ns/lab/sa/x' };
    const refusal = await ask(rules, lab);
    refused(
      refusal,
      'ERR_POLICY_RULE',
      /"uri:spiffe:\/\/example\.com\/ns\/lab\/sa\/x" is allowed by no rule, the closest is "prod": the name is/,
    );
  });

  it('refuse what some rule denies, whatever another allows', async () => {
    const rules = `
    - { name: all, allow: ["*"] }
    - { name: no-admins, deny: ["dns:admin.prod.internal"] }`;
    issuedOf(await ask(rules, ofProd));
    refused(
      await ask(rules, { ...ofProd, dns: ['admin.prod.internal'] }),
      'ERR_POLICY_RULE',
      /rule "no-admins" denies "dns:admin\.prod\.internal", "dns:admin\.prod\.internal" is asked for/,
    );
  });

  it('only deny where none allows', async () => {
    issuedOf(await ask('    - { deny: ["dns:admin.*.internal"] }', ofProd));
  });

  it('ask CEL where lists cannot say it', async () => {
    const rules = `
    - name: own-name
      allow: ["*"]
      when: dns.all(n, n.startsWith(spiffeId.split("/")[6] + "."))
    - { name: short-nights, deny: ["*"], when: ttlSeconds > 3600 && key.startsWith("RSA") }`;
    issuedOf(await ask(rules, ofProd));
    refused(
      await ask(rules, { ...ofProd, dns: ['orders.prod.internal'] }),
      'ERR_POLICY_RULE',
      /the closest is "own-name": the condition "dns\.all.*" is false/,
    );
  });

  it('deny, and never allow, by a condition that fails', async () => {
    const failing = 'ip[3] == "x"';
    refused(
      await ask(`    - { allow: ["*"], when: '${failing}' }`, ofProd),
      'ERR_POLICY_RULE',
      /the condition .* fails: /,
    );
    refused(await ask(`    - { deny: ["*"], when: '${failing}' }`, ofProd), 'ERR_POLICY_RULE');
  });

  it('are about callers and the provisioner that vouched first, also at renewals', async () => {
    const rules = `
    - { name: orders, provisioners: [operator], callers: [operator, token], allow: ["*"] }
    - name: themselves
      provisioners: [operator]
      callers: ["spiffe://example.com/ns/prod/sa/*"]
      allow: ["spiffe://example.com/**"]`;
    const authority = await testAuthority({ yaml: yaml(rules) });
    const plain = issuedOf(await authority.issue({ csr: await request(), spiffeId: payments }));
    issuedOf(await authority.renew({ csr: await request(), peer: peerOf(authority, plain) }));
    const named = issuedOf(await authority.issue({ csr: await request(), ...ofProd }));
    refused(
      await authority.renew({ csr: await request(), peer: peerOf(authority, named) }),
      'ERR_POLICY_RULE',
      /"dns:payments\.prod\.internal" is allowed by no rule, the closest is "/,
    );
  });

  it('hold for tokens when they are made, but for what is not known yet', async () => {
    const authority = await testAuthority({
      yaml: yaml(`
    - { name: ec, allow: ["*"], when: key.startsWith("ECDSA") }
    - { name: no-lab, deny: ["spiffe://example.com/ns/lab/**"] }`),
    });
    refused(
      await authority.createToken({ spiffeId: 'spiffe://example.com/ns/lab/sa/x' }),
      'ERR_POLICY_RULE',
    );
    const made = await authority.createToken({ spiffeId: payments });
    assert.ok(made.ok);
    issuedOf(await authority.enrol({ csr: await request(), token: made.token }));
  });

  const bad: readonly (readonly [string, string, RegExp])[] = [
    ['a rule that says nothing', '{ callers: [operator] }', /rules\.0: neither "allow" nor "deny"/],
    [
      'a wildcard within a segment',
      '{ allow: ["spiffe://example.com/a*"] }',
      /"\*" stands for a whole/,
    ],
    [
      'a wildcard in the middle',
      '{ allow: ["spiffe://example.com/**/a"] }',
      /before its last segment/,
    ],
    ['half a network', '{ allow: ["ip:10.0.0.0/99"] }', /no network such as/],
    ['a name of nothing', '{ allow: ["dns:a..b"] }', /empty label/],
    [
      'an expression of no sense',
      `{ allow: ["*"], when: 'calller == "x"' }`,
      /unknown variable: calller/,
    ],
    [
      'a misspelt key',
      '{ alow: ["*"] }',
      /unknown key "alow" in policy\.rules\.0, the nearest valid key is "allow"/,
    ],
  ];
  for (const [what, rule, message] of bad) {
    it(`are refused with ${what}, with the place`, () => {
      assert.throws(
        () => parseCaConfig(yaml(`    - ${rule}`), 'ca.yaml'),
        (thrown: unknown) => {
          assert.ok(thrown instanceof ConfigError);
          assert.match(thrown.message, message);
          assert.match(thrown.message, /^ca\.yaml:\d\d:\d+: /);
          return true;
        },
      );
    });
  }
});

describe('a pattern of names', () => {
  const id = (value: string): GivenName => ({ kind: 'spiffe', value, text: `uri:${value}` });
  const rows: readonly (readonly [string, GivenName, boolean])[] = [
    ['spiffe://example.com/ns/prod/*', id('spiffe://example.com/ns/prod/a'), true],
    ['spiffe://example.com/ns/prod/*', id('spiffe://example.com/ns/prod/a/b'), false],
    ['spiffe://example.com/ns/prod/*', id('spiffe://example.com/ns/prod'), false],
    ['uri:spiffe://example.com/ns/**', id('spiffe://example.com/ns/prod/a/b'), true],
    ['spiffe://example.com/ns/**', id('spiffe://example.com/ns'), false],
    ['spiffe://example.com/ns/**', id('spiffe://example.com/nsx/a'), false],
    ['ip:10.0.0.0/8', { kind: 'ip', value: '10.9.8.7', text: 'ip:10.9.8.7' }, true],
    ['10.0.0.0/8', { kind: 'ip', value: '11.0.0.1', text: 'ip:11.0.0.1' }, false],
    ['10.0.0.0/8', { kind: 'ip', value: '::1', text: 'ip:::1' }, false],
    ['0:0::1', { kind: 'ip', value: '::1', text: 'ip:::1' }, true],
    ['a.b', { kind: 'dns', value: 'a.b', text: 'dns:a.b' }, true],
    ['*', id('spiffe://example.com/x'), true],
    ['**.b', id('spiffe://example.com/b'), false],
  ];
  for (const [text, name, expected] of rows) {
    it(`"${text}" ${expected ? 'is' : 'is not'} for "${name.text}"`, () => {
      const read = parseNamePattern(text, 'example.com');
      assert.ok(read.ok, text);
      assert.equal(read.pattern.matches(name), expected);
    });
  }
});
