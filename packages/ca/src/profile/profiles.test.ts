import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError } from '@countersign/config';
import { der, extension } from '@countersign/x509';
import {
  exampleYaml,
  issuedOf,
  leafOf,
  payments,
  peerOf,
  refused,
  request,
  testAuthority,
} from '../../test/authority-under-test.ts';
import { parseCaConfig } from '../index.ts';
import { chooseProfile } from './choose-profile.ts';

const hour = 3_600_000;
const orders = 'spiffe://example.com/ns/prod/sa/orders';
const tlsFeature = { oid: '1.3.6.1.5.5.7.1.24', value: der.sequence(der.integer(5)) };

const base = exampleYaml.replace(
  '    production:\n',
  '    production:\n      policies: [1.3.6.1.4.1.99999.1.1]\n',
);
const profiles = `
profiles:
  web:
    validity: "6h"
    min_validity: "10m"
    max_validity: "12h"
    backdate: "5m"
    extKeyUsage: [serverAuth]
    extensions: [{ oid: ${tlsFeature.oid}, value: ${Buffer.from(tlsFeature.value).toString('base64')} }]
    policies: [1.3.6.1.4.1.99999.1.1]
    keys: [ECDSA P-384, RSA 3072]
  batch:
    validity: "30m"
    jitter: "10m"
    beyond_chain: clamp
    for:
      - { callers: [operator], names: ["spiffe://example.com/ns/batch/**"] }
      - { callers: ["spiffe://example.com/ns/batch/*/*"] }
`;

function failure(yaml: string): string {
  try {
    parseCaConfig(yaml, 'ca.yaml');
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError, String(thrown));
    return thrown.message;
  }
  return assert.fail('the file was accepted');
}

describe('a profile', () => {
  const world = () => testAuthority({ yaml: base + profiles });

  it('decides lifetime, usages, policies and further extensions where it is named', async () => {
    const authority = await world();
    const csr = await request({ key: { type: 'EC', curve: 'P-384' } });
    const outcome = await authority.issue({ csr, spiffeId: payments, profile: 'web' });
    const leaf = leafOf(outcome);
    assert.equal(leaf.notAfter - leaf.notBefore, 6 * hour + 5 * 60_000);
    assert.deepEqual(leaf.extKeyUsage, ['serverAuth']);
    assert.deepEqual(
      leaf.certificatePolicies?.map((each) => each.oid),
      ['1.3.6.1.4.1.99999.1.1'],
    );
    const feature = leaf.extensions.find(({ oid }) => oid === tlsFeature.oid);
    assert.deepEqual(feature?.value, tlsFeature.value);
    assert.equal(feature?.critical, false);
  });

  it('refuses keys, usages and lifetimes beside what it says', async () => {
    const authority = await world();
    const strong = { key: { type: 'EC', curve: 'P-384' } } as const;
    const issue = async (options: Parameters<typeof request>[0], ttlMs?: number) =>
      authority.issue({ csr: await request(options), spiffeId: payments, profile: 'web', ttlMs });
    refused(
      await issue({}),
      'ERR_POLICY_KEY_KIND',
      /is "ECDSA P-256", profile "web" wants "ECDSA P-384" or "RSA 3072" or longer/,
    );
    refused(
      await issue({ ...strong, extensions: [extension.extKeyUsage(['clientAuth'])] }),
      'ERR_CSR_USAGE',
      /certificates of profile "web" have serverAuth/,
    );
    refused(
      await issue(strong, 13 * hour),
      'ERR_POLICY_TTL',
      /max_validity of profile "web" "12h"/,
    );
    refused(await issue(strong, 60_000), 'ERR_POLICY_TTL', /shorter than the least of "10m"/);
  });

  it('is chosen by caller and names, and again when its certificate is renewed', async () => {
    const authority = await world();
    const spiffeId = 'spiffe://example.com/ns/batch/night/report';
    const lasts = ({ notAfter }: { notAfter: number }) => notAfter - Date.now();
    const issued = issuedOf(await authority.issue({ csr: await request(), spiffeId }));
    assert.ok(lasts(issued) <= 0.5 * hour && lasts(issued) > 0.3 * hour);
    const peer = peerOf(authority, issued);
    const renewed = issuedOf(await authority.renew({ csr: await request(), peer, ttlMs: hour }));
    assert.ok(Math.abs(lasts(renewed) - hour) <= 600_000);
    const other = issuedOf(await authority.issue({ csr: await request(), spiffeId: payments }));
    assert.ok(lasts(other) > 23 * hour);
  });

  it('is not named by who it is not for, nor where there is none of that name', async () => {
    const authority = await world();
    const issued = issuedOf(await authority.issue({ csr: await request(), spiffeId: orders }));
    const peer = peerOf(authority, issued);
    const renew = async (profile: string) =>
      authority.renew({ csr: await request(), peer, profile });
    refused(
      await renew('batch'),
      'ERR_POLICY_PROFILE',
      /"batch" is not for this request: the caller is "spiffe:.*orders", "spiffe:.*batch\/\*\/\*" is named/,
    );
    refused(await renew('web'), 'ERR_POLICY_PROFILE', /only operators name it/);
    refused(await renew('wbe'), 'ERR_POLICY_PROFILE', /"wbe" is asked for, the nearest is "web"/);
    issuedOf(await renew('default'));
  });

  it('that an operator named is kept by renewals, though its holder may not name it', async () => {
    const slow = '{ validity: "2h", max_validity: "3h", keys: [ECDSA P-384] }';
    const authority = await testAuthority({
      yaml: `${exampleYaml}\nprofiles: { slow: ${slow} }\n`,
    });
    const csr = () => request({ key: { type: 'EC', curve: 'P-384' } });
    const asked = { csr: await csr(), spiffeId: payments, profile: 'slow' };
    let issued = issuedOf(await authority.issue(asked));
    for (const profile of [undefined, 'slow', undefined]) {
      const peer = peerOf(authority, issued);
      issued = issuedOf(await authority.renew({ csr: await csr(), peer, profile }));
      assert.equal((await authority.ledger.certificate(issued.serialHex))?.profile, 'slow');
      assert.ok(Math.abs(issued.notAfter - Date.now() - 2 * hour) < 60_000);
    }
    // What it demands is asked for again.
    const peer = peerOf(authority, issued);
    const another = { csr: await request(), peer };
    refused(await authority.renew(another), 'ERR_POLICY_KEY_KIND', /"slow"/);
    issuedOf(await authority.renew({ ...another, profile: 'default' }));
  });

  it('that is no more is named by the refusal to renew under it', async () => {
    const question = {
      asked: undefined,
      requester: { provisioner: 'renewal', caller: orders },
      names: { spiffeId: undefined, dns: ['a.prod.internal'], ip: [], email: [], uri: [] },
      issuerDefault: undefined,
    };
    const config = parseCaConfig(base + profiles, 'ca.yaml');
    const kept = chooseProfile({ ...question, kept: 'web' }, config);
    assert.equal(kept.ok && kept.profile.name, 'web');
    refused(
      chooseProfile({ ...question, kept: 'wbe' }, config),
      'ERR_POLICY_PROFILE',
      /^profile "wbe" is that of the certificate to renew, the nearest is "web"$/,
    );
  });

  it('of an enrolment is the one for tokens', async () => {
    const yaml = `${exampleYaml}
profiles: { joined: { validity: "1h", max_validity: "2h", for: [{ callers: [token] }] } }
`;
    const authority = await testAuthority({ yaml });
    const made = await authority.createToken({ spiffeId: payments });
    assert.ok(made.ok);
    const issued = issuedOf(await authority.enrol({ csr: await request(), token: made.token }));
    assert.ok(issued.notAfter - Date.now() <= hour);
    refused(
      await authority.createToken({ spiffeId: payments, certificateTtlMs: 3 * hour }),
      'ERR_POLICY_TTL',
      /"3h" is longer than max_validity of profile "joined" "2h"/,
    );
  });

  it('takes effect with a changed file, without a restart', async () => {
    const authority = await testAuthority({ yaml: base });
    await authority.reconfigure(parseCaConfig(base + profiles, 'ca.yaml'));
    const csr = await request({ key: { type: 'RSA', bits: 3072 } });
    const leaf = leafOf(await authority.issue({ csr, spiffeId: payments, profile: 'web' }));
    assert.deepEqual(leaf.extKeyUsage, ['serverAuth']);
    const brief = `${base}profiles: { brief: { validity: 5m } }\n`.replace(
      '    rest: {',
      '    rest: { profile: brief,',
    );
    await authority.reconfigure(parseCaConfig(brief, 'ca.yaml'));
    const order = { spiffeId: payments, issuer: 'rest' };
    const issued = issuedOf(await authority.issue({ csr: await request(), ...order }));
    assert.ok(issued.notAfter - Date.now() <= 5 * 60_000);
  });

  const bad: readonly (readonly [string, string, RegExp])[] = [
    ['a misspelt key', 'a: { validty: 1h }', /unknown key "validty" in profiles\.a, the nearest/],
    [
      'its default beyond its longest',
      'a: { validity: 9h, max_validity: 8h }',
      /8h is shorter than/,
    ],
    ['more than any intermediate', 'a: { max_validity: 90000h }', /longer than any intermediate's/],
    [
      'a least beyond its default',
      'a: { validity: 1h, min_validity: 2h }',
      /shorter than the least/,
    ],
    ['half a lifetime of jitter', 'a: { validity: 1h, jitter: 31m }', /more than half/],
    ['two days of backdating', 'a: { backdate: 48h }', /backdate: expected at most 24h/],
    ['keys of no kind', 'a: { keys: [RSA 512] }', /keys\.0: expected 2048 to 4096 bits, found 512/],
    ['an OID that is none', 'a: { policies: [1.2.x] }', /policies\.0: expected a dotted OID/],
    [
      'an extension of ours',
      'a: { extensions: [{ oid: 2.5.29.17, value: BQA= }] }',
      /names come with/,
    ],
    [
      'a critical extension',
      'a: { extensions: [{ oid: 1.2.3, critical: true, value: BQA= }] }',
      /every verifier/,
    ],
    [
      'a value that is no DER',
      'a: { extensions: [{ oid: 1.2.3, value: BQAA }] }',
      /one DER element/,
    ],
    ['the name of the default', 'default: {}', /profile name "default"/],
    [
      'a caller of no form',
      'a: { for: [{ callers: [payments] }] }',
      /expected "operator", "token"/,
    ],
    [
      'names of another domain',
      'a: { for: [{ names: ["spiffe://b/x"] }] }',
      /is of trust domain "b"/,
    ],
  ];
  for (const [what, text, message] of bad) {
    it(`is refused with ${what}, with the place`, () => {
      const found = failure(`${exampleYaml}\nprofiles:\n  ${text}\n`);
      assert.match(found, message);
      assert.match(found, /^ca\.yaml:\d\d:\d+: /);
    });
  }
});
