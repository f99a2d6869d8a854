import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError } from '@countersign/config';
import fc from 'fast-check';
import { exampleYaml } from '../test/authority-under-test.ts';
import { parseCaConfig } from './ca-config.ts';

const hour = 3_600_000;

const minimal = `
ca: {}
service_certificates: { san_policies: { spiffe_trust_domain: example.com } }
`;

function failure(yaml: string): ConfigError {
  try {
    parseCaConfig(yaml, 'ca.yaml');
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError, String(thrown));
    return thrown;
  }
  return assert.fail('the file was accepted');
}

/** The example with one line changed. */
function changed(from: string, to: string): string {
  assert.ok(exampleYaml.includes(from), from);
  return exampleYaml.replace(from, to);
}

describe('ca.yaml', () => {
  it('reads the shape that the field writes', () => {
    const config = parseCaConfig(exampleYaml, 'ca.yaml');
    assert.equal(config.trustDomain, 'example.com');
    assert.deepEqual(config.root.key, { type: 'EC', curve: 'P-256' });
    assert.equal(config.root.validityMs, 87_600 * hour);
    assert.deepEqual(
      config.intermediates.map((each) => each.name),
      ['production', 'rest'],
    );
    assert.deepEqual(config.intermediates[0]?.constraints, {
      permitted: [{ base: { kind: 'dns', value: 'prod.internal' } }],
      excluded: [{ base: { kind: 'dns', value: 'secret.prod.internal' } }],
    });
    assert.equal(config.services.maxValidityMs, 72 * hour);
    assert.equal(config.services.allowIp, false);
  });

  it('says once that keyEncipherment is left out for EC keys', () => {
    const { notices } = parseCaConfig(exampleYaml, 'ca.yaml');
    assert.deepEqual(notices, [
      'keyEncipherment is left out of certificates for EC keys, which cannot do that (RFC 8813)',
    ]);
    const rsa = changed(
      '  algorithm: ECDSA\n  curve: P-256\n  validity: "24h"',
      '  algorithm: RSA\n  validity: "24h"',
    );
    assert.deepEqual(parseCaConfig(rsa, 'ca.yaml').notices, []);
  });

  it('says that nobody else can verify an authority which listens everywhere without a name', () => {
    const listening = (api: string) =>
      parseCaConfig(`${minimal}\napi: ${api}\n`, 'ca.yaml').notices;
    const [notice = ''] = listening('{ address: 0.0.0.0 }');
    assert.match(notice, /api\.address is "0\.0\.0\.0" and api\.names is empty/);
    assert.deepEqual(listening('{ address: 0.0.0.0, names: [192.0.2.7] }'), []);
    assert.deepEqual(listening('{ address: 127.0.0.1 }'), []);
  });

  it('says of which profiles an identity cannot renew over mTLS', () => {
    const noticesOf = (profile: string) =>
      parseCaConfig(`${minimal}\nprofiles: { web: ${profile} }\n`, 'ca.yaml').notices;
    const [notice = ''] = noticesOf('{ extKeyUsage: [serverAuth] }');
    assert.match(notice, /profile "web" has extKeyUsage serverAuth without clientAuth/);
    const forIds = '{ extKeyUsage: [serverAuth], for: [{ names: ["spiffe://example.com/**"] }] }';
    assert.equal(noticesOf(forIds).length, 1);
    assert.deepEqual(
      noticesOf('{ extKeyUsage: [serverAuth], for: [{ names: ["*.a.test"] }] }'),
      [],
    );
    assert.deepEqual(noticesOf('{ extKeyUsage: [serverAuth, clientAuth] }'), []);
  });

  it('has safe defaults for everything but the trust domain', () => {
    const config = parseCaConfig(minimal, 'ca.yaml');
    assert.deepEqual(config.root.key, { type: 'EC', curve: 'P-384' });
    assert.equal(config.root.pathLen, 1);
    assert.equal(config.root.validityMs, 3650 * 24 * hour);
    assert.deepEqual(config.intermediates[0]?.key, { type: 'EC', curve: 'P-256' });
    assert.equal(config.intermediates[0]?.validityMs, 365 * 24 * hour);
    assert.equal(config.services.validityMs, 24 * hour);
    assert.equal(config.services.maxValidityMs, 72 * hour);
    assert.equal(config.services.requireSpiffe, true);
    assert.equal(config.services.allowIp, false);
    assert.deepEqual(config.api.admins, []);
    assert.match(
      failure('ca: {}\n').message,
      /spiffe_trust_domain: missing, expected the trust domain/,
    );
  });

  it('takes service_certificates at the top level or under ca, not in both', () => {
    const under = `ca:\n  service_certificates: { san_policies: { spiffe_trust_domain: a.example } }\n`;
    assert.equal(parseCaConfig(under, 'ca.yaml').trustDomain, 'a.example');
    const both = `${under}service_certificates: { san_policies: { spiffe_trust_domain: a.example } }\n`;
    assert.match(failure(both).message, /stands at the top level and under "ca"/);
  });

  it('knows the names that the field has for the same key', () => {
    const keyOf = (text: string) =>
      parseCaConfig(
        changed('root: { algorithm: ECDSA, curve: P-256,', `root: { ${text},`),
        'ca.yaml',
      ).root.key;
    const p256 = { type: 'EC', curve: 'P-256' };
    for (const curve of ['P256', 'p-256', 'prime256v1', 'secp256r1', 'NIST P-256']) {
      assert.deepEqual(keyOf(`algorithm: ec, curve: "${curve}"`), p256, curve);
    }
    assert.deepEqual(keyOf('algorithm: ECDSA, keySize: 384'), { type: 'EC', curve: 'P-384' });
    assert.deepEqual(keyOf('algorithm: rsa, keySize: "3072"'), { type: 'RSA', bits: 3072 });
    assert.deepEqual(keyOf('algorithm: RSA'), { type: 'RSA', bits: 4096 });
    assert.deepEqual(keyOf('algorithm: Ed25519'), { type: 'Ed25519' });
  });

  const bad: readonly (readonly [string, string, string, RegExp])[] = [
    [
      'a misspelt key',
      '    production:',
      '    production:\n      curv: P-256',
      /^ca\.yaml:6:7: unknown key "curv" in ca\.intermediate\.production, the nearest valid key is "curve"/,
    ],
    [
      'an HSM',
      'storage: file',
      'storage: HSM',
      /^ca\.yaml:3:72: ca\.root\.storage: "HSM" is a PKCS #11 token, which "hsm" must configure/,
    ],
    [
      'an algorithm that nobody knows',
      'root: { algorithm: ECDSA',
      'root: { algorithm: ECDSSA',
      /algorithm: expected "RSA", "ECDSA", "Ed25519" or "ML-DSA-44".*, found "ECDSSA"/,
    ],
    [
      'an algorithm of yesterday',
      'root: { algorithm: ECDSA',
      'root: { algorithm: DSA',
      /"DSA" is not supported yet/,
    ],
    [
      'an object of JavaScript as algorithm',
      'root: { algorithm: ECDSA',
      'root: { algorithm: constructor',
      /found "constructor"/,
    ],
    [
      'a small RSA key',
      'algorithm: ECDSA, curve: P-256, validity: "87600h"',
      'algorithm: RSA, keySize: 1024, validity: "87600h"',
      /^ca\.yaml:3:36: ca\.root\.keySize: expected 2048 to 4096 bits, found 1024/,
    ],
    [
      'a large RSA key',
      'algorithm: ECDSA, curve: P-256, validity: "87600h"',
      'algorithm: RSA, keySize: 8192, validity: "87600h"',
      /expected 2048 to 4096 bits, found 8192/,
    ],
    [
      'a curve with an RSA key',
      'root: { algorithm: ECDSA',
      'root: { algorithm: RSA',
      /an RSA key has no curve, found "P-256"/,
    ],
    [
      'a curve of Bitcoin',
      'root: { algorithm: ECDSA, curve: P-256',
      'root: { algorithm: ECDSA, curve: secp256k1',
      /curve "secp256k1" is not supported yet/,
    ],
    ['a duration in words', '"87600h"', '"10 years"', /duration "10 years" is not written as/],
    [
      'a root too shallow',
      'pathLenConstraint: 1',
      'pathLenConstraint: 0',
      /^ca\.yaml:3:97: ca\.root\.pathLenConstraint: intermediate "production" with 0 below it needs at least 1, found 0/,
    ],
    [
      'an intermediate as deep as its root',
      'pathLenConstraint: 0',
      'pathLenConstraint: 1',
      /needs at least 2, found 1/,
    ],
    [
      'an intermediate that outlives its root',
      '"43800h"',
      '"87601h"',
      /^ca\.yaml:8:17: .*87601h is longer than the root's 87600h/,
    ],
    [
      'a default beyond the longest',
      'validity: "24h"',
      'validity: "100h"',
      /max_validity: 72h is shorter than the validity of 100h/,
    ],
    [
      'a service that outlives every intermediate',
      'max_validity: "72h"',
      'max_validity: "50000h"',
      /50000h is longer than any intermediate's validity, at most 43800h/,
    ],
    ['a lifetime of nothing', 'validity: "24h"', 'validity: "0s"', /expected at least 1s/],
    [
      'a network that is none as constraint',
      '[".prod.internal"]',
      '["10.0.0.0/99"]',
      /permitted\.0: "10\.0\.0\.0\/99" is no IP address, and no network such as 10\.0\.0\.0\/8/,
    ],
    [
      'a wildcard as constraint',
      '[".prod.internal"]',
      '["*.prod.internal"]',
      /a constraint covers everything below its name anyway/,
    ],
    [
      'a name that is permitted and excluded',
      '[".secret.prod.internal"]',
      '[".internal"]',
      /"prod\.internal" is excluded again by "internal"/,
    ],
    [
      'a pattern that no intermediate can serve',
      'rest: { algorithm: ECDSA, curve: P-256, validity: "8760h" }',
      'rest: { nameConstraints: { permitted: [rest.internal] } }',
      /no intermediate admits a name of "\*\.secret\.prod\.internal": "production" permits "prod\.internal"/,
    ],
    [
      'half a label as wildcard',
      '"*.lab.internal"',
      '"web-*.lab.internal"',
      /"\*" stands for a whole label/,
    ],
    ['a dot too many', '"*.lab.internal"', '"*..internal"', /empty label/],
    [
      'a usage of authorities',
      'keyEncipherment]',
      'keyCertSign]',
      /keyCertSign is for certificate authorities/,
    ],
    [
      'no usage to sign',
      '[digitalSignature, keyEncipherment]',
      '[keyEncipherment]',
      /digitalSignature is missing/,
    ],
    ['a misspelt purpose', 'serverAuth,', 'serverAut,', /the nearest is "serverAuth"/],
    [
      'a trust domain in capitals',
      'spiffe_trust_domain: example.com',
      'spiffe_trust_domain: Example.com',
      /"example\.com" would be/,
    ],
    [
      'a name that JavaScript would move',
      '    rest: {',
      '    7: {',
      /intermediate name "7" is not made of letters/,
    ],
    [
      'a name that leaves its directory',
      '    rest: {',
      '    ../rest: {',
      /intermediate name "\.\.\/rest"/,
    ],
    [
      'an administrator of another trust domain',
      'admins: [spiffe://example.com/',
      'admins: [spiffe://other.example/',
      /is of trust domain "other\.example", this authority's is "example\.com"/,
    ],
    [
      'a pattern for gateways of other domains',
      '"spiffe://example.com/ns/edge/*"',
      '"spiffe://other/*"',
      /api\.gateways\.0: expected/,
    ],
    [
      'a port that there is not',
      'api:',
      'api:\n  port: 70000',
      /api\.port: expected at most 65535, found 70000/,
    ],
    [
      'a boolean in words',
      'allow_ip_san: false',
      'allow_ip_san: nope',
      /allow_ip_san: expected boolean, found "nope"/,
    ],
    [
      'a list where a map belongs',
      '    rest: { algorithm: ECDSA, curve: P-256, validity: "8760h" }',
      '    rest: []',
      /expected object, found a list/,
    ],
  ];
  for (const [what, from, to, message] of bad) {
    it(`refuses ${what}, and says where and why`, () => {
      const error = failure(changed(from, to));
      assert.match(error.message, message);
      assert.equal(error.exit, 2);
      assert.ok((error.issues[0]?.line ?? 0) > 1);
    });
  }

  it('reports every finding of a file at once, in file order', () => {
    const yaml = changed('storage: file', 'storage: HSM')
      .replace('allow_ip_san: false', 'allow_ip_san: false')
      .replace('"72h"', '"2h"');
    const { issues } = failure(yaml);
    assert.deepEqual(
      issues.map(({ code }) => code),
      ['ERR_CONFIG_VALUE', 'ERR_CONFIG_VALUE'],
    );
  });

  it('is an error or a configuration, whatever the text', () => {
    const lines = exampleYaml.split('\n');
    const mutated = fc
      .tuple(
        fc.nat(lines.length - 1),
        fc.nat(lines.length - 1),
        fc.string({ maxLength: 12 }),
        fc.nat(3),
      )
      .map(([from, to, noise, how]) => {
        const copy = [...lines];
        const line = copy[from] ?? '';
        if (how === 0) copy.splice(from, 1);
        if (how === 1) copy.splice(to, 0, line);
        if (how === 2) copy[from] = line.replace(/[^:]*$/, noise);
        if (how === 3) copy[from] = line.slice(0, Math.floor(line.length / 2)) + noise;
        return copy.join('\n');
      });
    fc.assert(
      fc.property(mutated, (yaml) => {
        try {
          parseCaConfig(yaml, 'ca.yaml');
        } catch (thrown) {
          assert.ok(thrown instanceof ConfigError, String(thrown));
        }
      }),
      { numRuns: 300 },
    );
  });
});
