import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { ConfigError } from '@countersign/config';
import { formatGeneralName, parseCertificate, validatePath } from '@countersign/x509';
import { issuedOf, peerOf, refused, request, testAuthority } from '../test/authority-under-test.ts';
import {
  type Authority,
  type Issued,
  initAuthority,
  openAuthority,
  parseCaConfig,
} from './index.ts';

const hour = 3_600_000;
const policy = '1.3.6.1.4.1.99999.1.1';

/** The root, two regions below it, and what signs for services below those. */
const yaml = `
ca:
  root: { curve: P-384, validity: 87600h }
  intermediate:
    web-eu:
      issuer: europe
      curve: P-256
      subject: { country: DE, commonName: web }
      validity: 2000h
      policies: [${policy}]
      profile: brief
      nameConstraints:
        permitted: { dnsDomains: [web.eu.internal], ipRanges: [10.1.0.0/16] }
    europe:
      algorithm: RSA
      keySize: 2048
      validity: 4000h
      subject: { country: de, organization: Example }
      policies: [${policy}, 1.3.6.1.4.1.99999.1.2]
      nameConstraints:
        permitted: [eu.internal, "ip:10.0.0.0/8", "uri:example.com", "email:.eu.example", { directory: { country: DE } }]
        excluded: [secret.eu.internal, "10.1.66.0/24"]
    lab-eu:
      issuer: europe
      subject: { country: DE, commonName: lab }
      validity: 48h
    rest: { pathLenConstraint: 0 }
profiles:
  brief: { validity: 10m, policies: [${policy}] }
service_certificates:
  san_policies:
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ["**.internal"]
    allow_ip_san: true
`;

const spiffeId = 'spiffe://example.com/ns/web/sa/a';

async function proves(authority: Authority, issued: Issued): Promise<void> {
  const [leaf, ...intermediates] = issued.chain.map((der) => parseCertificate(der));
  assert.ok(leaf !== undefined);
  const policies = { initialPolicySet: [policy], requireExplicitPolicy: true };
  const request = { leaf, intermediates, anchors: [authority.root], at: Date.now() };
  const path = validatePath({
    ...request,
    purpose: 'server',
    ...(leaf.certificatePolicies === undefined ? {} : { policies }),
  });
  assert.ok(path.ok, path.ok ? '' : path.detail);
  assert.equal(path.chain.length, intermediates.length + 2);
}

describe('a hierarchy', () => {
  it('has levels, each with key, lifetime, constraints and policies of its own', () => {
    const { root, intermediates } = parseCaConfig(yaml, 'ca.yaml');
    const facts = intermediates.map(({ name, issuer, pathLen, signsServices, validityMs }) => [
      ...[name, issuer, pathLen, signsServices, validityMs / hour],
    ]);
    assert.deepEqual(facts, [
      ['web-eu', 'europe', 0, true, 2000],
      ['europe', 'root', 1, false, 4000],
      ['lab-eu', 'europe', 0, true, 48],
      ['rest', 'root', 0, true, 8760],
    ]);
    assert.equal(root.pathLen, 2);
    assert.deepEqual(
      intermediates[1]?.constraints.permitted.map(({ base }) => formatGeneralName(base)),
      [
        'dns:eu.internal',
        'ip:10.0.0.0/8',
        'uri:example.com',
        'email:.eu.example',
        'directory:C=DE',
      ],
    );
  });

  it('routes a request to the first whose whole chain admits every name', async () => {
    const authority = await testAuthority({ yaml });
    const csr = await request();
    const issue = async (names: object) => authority.issue({ csr, spiffeId, ...names });
    const rows: readonly (readonly [object, string])[] = [
      [{ dns: ['a.web.eu.internal'], ip: ['10.1.0.1'] }, 'web-eu'],
      [{ dns: ['a.web.eu.internal'], ip: ['10.2.0.1'] }, 'lab-eu'],
      [{ dns: ['a.eu.internal'] }, 'lab-eu'],
      [{ dns: ['a.secret.eu.internal'] }, 'rest'],
      [{ dns: ['a.web.eu.internal'], ip: ['10.1.66.1'] }, 'rest'],
      [{ dns: ['a.us.internal', 'a.eu.internal'] }, 'rest'],
      [{ dns: ['a.eu.internal'], issuer: 'rest' }, 'rest'],
    ];
    for (const [names, expected] of rows) {
      const issued = issuedOf(await issue(names));
      assert.equal(issued.issuer, expected, JSON.stringify(names));
      assert.equal(issued.chain.length, expected === 'rest' ? 2 : 3);
      await proves(authority, issued);
    }
    refused(
      await issue({ dns: ['a.us.internal'], issuer: 'lab-eu' }),
      'ERR_POLICY_NO_ISSUER',
      /"lab-eu" permits "eu\.internal" only, "a\.us\.internal" is asked for/,
    );
    refused(
      await issue({ issuer: 'europe' }),
      'ERR_POLICY_NO_ISSUER',
      /"europe" issues intermediates/,
    );
  });

  it('gives what an intermediate signs its default profile, within the policies that it asserts', async () => {
    const authority = await testAuthority({ yaml });
    const csr = await request();
    const issued = issuedOf(await authority.issue({ csr, spiffeId, dns: ['a.web.eu.internal'] }));
    const [leaf] = issued.chain.map((der) => parseCertificate(der));
    assert.deepEqual(
      leaf?.certificatePolicies?.map(({ oid }) => oid),
      [policy],
    );
    assert.ok(issued.notAfter - Date.now() <= 10 * 60_000);
    issuedOf(await authority.renew({ csr: await request(), peer: peerOf(authority, issued) }));
    refused(
      await authority.issue({ csr, spiffeId, issuer: 'rest', profile: 'brief' }),
      'ERR_POLICY_PROFILE',
      /"brief" asserts "1\.3\.6.*", intermediate "rest" does not/,
    );
  });

  it('may be of keys that quantum computers do not break, from the root to services', async () => {
    const authority = await testAuthority({
      yaml: `
ca:
  root: { algorithm: ML-DSA-87 }
  intermediate: { services: { algorithm: ML-DSA-65 } }
service_certificates:
  algorithm: ML-DSA-44
  san_policies: { spiffe_trust_domain: example.com }
`,
    });
    const key = { type: 'ML-DSA', set: 44 } as const;
    const issued = issuedOf(await authority.issue({ csr: await request({ key }), spiffeId }));
    await proves(authority, issued);
    refused(
      await authority.issue({ csr: await request(), spiffeId }),
      'ERR_POLICY_KEY_KIND',
      /is "ECDSA P-256", service_certificates wants "ML-DSA-44" or longer/,
    );
  });

  it('lets nothing outlive any link of its chain', async () => {
    const long = yaml.replace('validity: 48h', 'validity: 2h');
    const authority = await testAuthority({ yaml: long });
    const names = { spiffeId, dns: ['a.eu.internal'] };
    refused(
      await authority.issue({ csr: await request(), ...names, ttlMs: 3 * hour }),
      'ERR_POLICY_ISSUER_ENDS',
      /its issuer "lab-eu" lasts until/,
    );
    const cut = issuedOf(await authority.issue({ csr: await request(), ...names }));
    assert.ok(cut.notAfter - Date.now() <= 2 * hour);
  });

  it('is what its data directory holds, or is not opened', async () => {
    const home = await mkdtemp(join(tmpdir(), 'countersign-levels-'));
    const options = { data: join(home, 'state'), clock: systemClock, log: noLog, meter: noMeter };
    const open = (text: string) =>
      openAuthority({ ...options, config: parseCaConfig(text, 'ca.yaml') });
    await initAuthority({ ...options, config: parseCaConfig(yaml, 'ca.yaml') });
    const authority = await open(yaml);
    const names = { spiffeId, dns: ['a.web.eu.internal'] };
    const issued = issuedOf(await authority.issue({ csr: await request(), ...names }));
    await proves(authority, issued);
    await authority.close();
    const changes: readonly (readonly [string, string, RegExp])[] = [
      ['"10.1.66.0/24"', '"10.1.67.0/24"', /"europe" excluded names is configured as .*10\.1\.67/],
      [`policies: [${policy}, 1.3`, 'policies: [1.3', /asserts/],
      [
        'lab-eu:\n      issuer: europe',
        'lab-eu:\n      issuer: root',
        /"lab-eu" issuer is configured as root, the state has europe/,
      ],
    ];
    for (const [from, to, message] of changes) {
      assert.ok(yaml.includes(from), from);
      await assert.rejects(async () => open(yaml.replace(from, to)), message);
    }
    await rm(home, { recursive: true });
  });

  const bad: readonly (readonly [string, string, string, RegExp])[] = [
    [
      'an issuer that there is not',
      'issuer: europe\n      curve',
      'issuer: eurpe\n      curve',
      /issuer: no authority is called "eurpe", the nearest is "europe"/,
    ],
    [
      'a circle',
      'europe:\n      algorithm',
      'europe:\n      issuer: web-eu\n      algorithm',
      /issue each other in a circle/,
    ],
    [
      'a level too many',
      'validity: 4000h',
      'validity: 4000h\n      pathLenConstraint: 0',
      /europe\.pathLenConstraint: intermediate "web-eu" with 0 below it needs at least 1, found 0/,
    ],
    [
      'a level that outlives the one above',
      'validity: 2000h',
      'validity: 5000h',
      /5000h is longer than that of its issuer "europe", 4000h/,
    ],
    [
      'a policy that the issuer lacks',
      `policies: [${policy}]`,
      'policies: [1.2.3]',
      /web-eu\.policies: its issuer "europe" asserts "1\.3\.6/,
    ],
    [
      'a subject outside the constraints',
      'country: DE, commonName: lab',
      'country: US, commonName: lab',
      /lab-eu: its issuer "europe" permits "directory:C=DE" only, its subject is another/,
    ],
    [
      'no room for its own identities',
      '"uri:example.com"',
      '"uri:.example.com"',
      /"europe" permits "uri:\.example\.com" only, and every identity is of "example\.com"/,
    ],
    [
      'two of one subject',
      'commonName: lab',
      'commonName: web',
      /has the same subject as "web-eu"/,
    ],
    [
      'a profile that there is not',
      'profile: brief',
      'profile: breif',
      /no profile is called "breif", the nearest is "brief"/,
    ],
    [
      'a profile for what issues intermediates',
      'keySize: 2048',
      'keySize: 2048\n      profile: brief',
      /"europe" issues intermediates, which have no profile/,
    ],
    [
      'a URI as constraint',
      '"uri:example.com"',
      '"uri:spiffe://example.com"',
      /is no host such as example\.com/,
    ],
    ['half a mailbox', '"email:.eu.example"', '"email:@eu.example"', /is none of a mailbox/],
    ['a directory of everybody', 'directory: { country: DE }', 'directory: {}', /has no attribute/],
    [
      'an address that is excluded again',
      '"ip:10.0.0.0/8"',
      '"ip:10.1.66.128/25"',
      /"ip:10\.1\.66\.128\/25" is excluded again by "ip:10\.1\.66\.0\/24"/,
    ],
    [
      'a misspelt kind',
      'ipRanges',
      'ipRange',
      /unknown key "ipRange" in ca\.intermediate\.web-eu\.nameConstraints\.permitted, the nearest valid key is "ipRanges"/,
    ],
  ];
  for (const [what, from, to, message] of bad) {
    it(`is refused with ${what}, with the place`, () => {
      assert.ok(yaml.includes(from), from);
      assert.throws(
        () => parseCaConfig(yaml.replace(from, to), 'ca.yaml'),
        (thrown: unknown) => {
          assert.ok(thrown instanceof ConfigError, String(thrown));
          assert.match(thrown.message, message);
          assert.match(thrown.message, /^ca\.yaml:\d+:\d+: /);
          return true;
        },
      );
    });
  }
});
