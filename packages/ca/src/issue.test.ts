import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { before, describe, it } from 'node:test';
import {
  buildName,
  type Certificate,
  extension,
  formatGeneralName,
  keySigner,
  parseCertificate,
  parseIpAddress,
  validatePath,
} from '@countersign/x509';
import {
  exampleYaml,
  issuedOf,
  leafOf,
  payments,
  refused,
  request,
  testAuthority,
} from '../test/authority-under-test.ts';
import type { Authority, Issued } from './index.ts';

const hour = 3_600_000;
const dns = (value: string) => ({ kind: 'dns', value }) as const;
const uri = (value: string) => ({ kind: 'uri', value }) as const;

function namesIn(certificate: Certificate): string[] {
  return certificate.subjectAltNames.map(formatGeneralName);
}

describe('issuing', () => {
  let authority: Authority;
  before(async () => {
    authority = await testAuthority();
  });
  const issue = async (names: object, csr?: Uint8Array, ttlMs?: number) =>
    authority.issue({ csr: csr ?? (await request()), ...names, ttlMs });
  const proves = (issued: Issued, at = Date.now()) =>
    validatePath({
      leaf: parseCertificate(issued.chain[0]),
      intermediates: [parseCertificate(issued.chain[1])],
      anchors: [authority.root],
      at,
      purpose: 'server',
    });

  it('gives a chain that leads to the root, with the names that were ordered', async () => {
    const issued = issuedOf(await issue({ spiffeId: payments, dns: ['Payments.prod.internal'] }));
    assert.equal(proves(issued).ok, true);
    const leaf = parseCertificate(issued.chain[0]);
    assert.deepEqual(namesIn(leaf), [`uri:${payments}`, 'dns:payments.prod.internal']);
    assert.equal(leaf.subject.rdns.length, 0);
    assert.equal(leaf.extensions.find(({ oid }) => oid === '2.5.29.17')?.critical, true);
    assert.deepEqual([...(leaf.keyUsage ?? [])], ['digitalSignature']);
    assert.deepEqual(leaf.extKeyUsage, ['serverAuth', 'clientAuth']);
    assert.equal(leaf.basicConstraints?.ca, false);
    assert.equal(leaf.notAfter, issued.notAfter);
    const recorded = await authority.ledger.certificate(issued.serialHex);
    assert.deepEqual(recorded?.der, issued.chain[0]);
    assert.equal(recorded?.intent, issued.position);
  });

  it('signs with the first intermediate in file order that admits every name', async () => {
    assert.equal(issuedOf(await issue({ spiffeId: payments })).issuer, 'production');
    const inner = await issue({ spiffeId: payments, dns: ['a.prod.internal'] });
    assert.equal(issuedOf(inner).issuer, 'production');
    const lab = await issue({ spiffeId: payments, dns: ['a.prod.internal', 'a.lab.internal'] });
    assert.equal(issuedOf(lab).issuer, 'rest');
    const secret = await issue({ spiffeId: payments, dns: ['a.secret.prod.internal'] });
    assert.equal(issuedOf(secret).issuer, 'rest');
  });

  it('puts keyEncipherment into certificates for RSA keys alone', async () => {
    const yaml = exampleYaml.replace(
      '  algorithm: ECDSA\n  curve: P-256\n  validity: "24h"',
      '  validity: "24h"',
    );
    const open = await testAuthority({ yaml });
    const rsa = await open.issue({
      csr: await request({ key: { type: 'RSA', bits: 2048 } }),
      spiffeId: payments,
    });
    assert.deepEqual([...(leafOf(rsa).keyUsage ?? [])], ['digitalSignature', 'keyEncipherment']);
    for (const key of [{ type: 'EC', curve: 'P-384' }, { type: 'Ed25519' }] as const) {
      const other = await open.issue({ csr: await request({ key }), spiffeId: payments });
      assert.deepEqual([...(leafOf(other).keyUsage ?? [])], ['digitalSignature']);
    }
  });

  it('issues for seconds as well as for days', async () => {
    const short = issuedOf(await issue({ spiffeId: payments }, undefined, 20_000));
    assert.equal(proves(short).ok, true);
    assert.equal(proves(short, short.notAfter + 1000).ok, false);
    refused(
      await issue({ spiffeId: payments }, undefined, 73 * hour),
      'ERR_POLICY_TTL',
      /"73h" is longer than max_validity "72h"/,
    );
    refused(await issue({ spiffeId: payments }, undefined, 10), 'ERR_POLICY_TTL');
  });

  it('never gives the same serial twice, nor one that does not say its position', async () => {
    const serials = new Set<string>();
    for (let i = 0; i < 50; i += 1) {
      const issued = issuedOf(await issue({ spiffeId: payments }));
      assert.match(issued.serialHex, /^01[0-9a-f]{38}$/);
      assert.equal(Number.parseInt(issued.serialHex.slice(2, 16), 16), issued.position);
      serials.add(issued.serialHex);
    }
    assert.equal(serials.size, 50);
  });

  const policy: readonly (readonly [string, object, string, RegExp])[] = [
    ['no name at all', {}, 'ERR_POLICY_SPIFFE_REQUIRED', /require_spiffe is true/],
    ['DNS names alone', { dns: ['a.prod.internal'] }, 'ERR_POLICY_SPIFFE_REQUIRED', /no SPIFFE ID/],
    [
      'an ID of another trust domain',
      { spiffeId: 'spiffe://other.example/a' },
      'ERR_POLICY_SPIFFE_ID',
      /is of trust domain "other\.example", this authority's is "example\.com"/,
    ],
    [
      'an ID without path',
      { spiffeId: 'spiffe://example.com' },
      'ERR_POLICY_SPIFFE_ID',
      /has no path/,
    ],
    [
      'an ID that is none',
      { spiffeId: 'https://example.com/a' },
      'ERR_POLICY_SPIFFE_ID',
      /does not begin with/,
    ],
    [
      'a DNS name beside the patterns',
      { spiffeId: payments, dns: ['a.b.prod.internal'] },
      'ERR_POLICY_DNS',
      /"a\.b\.prod\.internal" is asked for, allowed_dns_patterns admits "\*\.prod\.internal"/,
    ],
    [
      'a wildcard name',
      { spiffeId: payments, dns: ['*.prod.internal'] },
      'ERR_POLICY_DNS',
      /wildcard/,
    ],
    [
      'an IP address',
      { spiffeId: payments, ip: ['10.0.0.1'] },
      'ERR_POLICY_IP',
      /"10\.0\.0\.1" is asked for, and allow_ip_san is false/,
    ],
    [
      'an address that is none',
      { spiffeId: payments, ip: ['10.0.0.256'] },
      'ERR_POLICY_IP_FORM',
      /is no IP address/,
    ],
    [
      'a hundred names',
      { spiffeId: payments, dns: Array.from({ length: 100 }, (_, i) => `a${i}.prod.internal`) },
      'ERR_POLICY_NAME',
      /100 names/,
    ],
  ];
  for (const [what, names, code, detail] of policy) {
    it(`refuses ${what}`, async () => refused(await issue(names), code, detail));
  }

  it('says which intermediate stands against which name', async () => {
    const yaml = exampleYaml.replace(
      'rest: { algorithm',
      'rest: { nameConstraints: { permitted: [lab.internal, secret.prod.internal] }, algorithm',
    );
    const strict = await testAuthority({ yaml });
    const both = {
      csr: await request(),
      spiffeId: payments,
      dns: ['a.prod.internal', 'a.lab.internal'],
    };
    refused(
      await strict.issue(both),
      'ERR_POLICY_NO_ISSUER',
      /"production" permits "prod\.internal" only, "a\.lab\.internal" is asked for; "rest" permits "lab/,
    );
  });

  it('wants, without patterns, an intermediate that permits a name by name', async () => {
    const yaml = exampleYaml.replace(/ {4}allowed_dns_patterns.*\n/, '');
    const unwritten = await testAuthority({ yaml });
    const csr = await request();
    issuedOf(await unwritten.issue({ csr, spiffeId: payments, dns: ['a.b.prod.internal'] }));
    refused(
      await unwritten.issue({ csr, spiffeId: payments, dns: ['a.lab.internal'] }),
      'ERR_POLICY_DNS',
      /the intermediates permit "prod\.internal"/,
    );
  });

  describe('by what the request says', () => {
    const order = { spiffeId: payments, dns: ['a.prod.internal'] };

    it('takes a request that asks for what is granted, or less', async () => {
      issuedOf(
        await issue(order, await request({ names: [uri(payments), dns('a.prod.internal')] })),
      );
      issuedOf(await issue(order, await request({ names: [uri(payments)] })));
      const usual = [
        extension.keyUsage(['digitalSignature', 'keyEncipherment']),
        extension.extKeyUsage(['serverAuth']),
        extension.basicConstraints({ ca: false }),
      ];
      issuedOf(await issue(order, await request({ extensions: usual })));
    });

    it('takes the names of the request where the operator gives none', async () => {
      const csr = await request({ names: [uri(payments), dns('a.prod.internal')] });
      assert.deepEqual(namesIn(leafOf(await issue({}, csr))), [
        `uri:${payments}`,
        'dns:a.prod.internal',
      ]);
    });

    it('does not take its subject for a name', async () => {
      const csr = await request({
        subject: buildName([{ type: 'CN', value: 'admin.prod.internal' }]),
      });
      assert.deepEqual(namesIn(leafOf(await issue({ spiffeId: payments }, csr))), [
        `uri:${payments}`,
      ]);
    });

    const asks: readonly (readonly [string, Parameters<typeof request>[0], string, RegExp])[] = [
      [
        'a further name',
        { names: [uri(payments), dns('b.prod.internal')] },
        'ERR_POLICY_NAME',
        /asks for "dns:b\.prod\.internal", the order does not grant that/,
      ],
      [
        'another SPIFFE ID',
        { names: [uri('spiffe://example.com/ns/prod/sa/orders')] },
        'ERR_POLICY_NAME',
        /asks for "uri:spiffe:\/\/example\.com\/ns\/prod\/sa\/orders"/,
      ],
      [
        'two SPIFFE IDs',
        { names: [uri(payments), uri(`${payments}2`)] },
        'ERR_POLICY_SPIFFE_ID',
        /2 URIs/,
      ],
      [
        'an address',
        { names: [{ kind: 'ip', bytes: parseIpAddress('10.0.0.1')! }] },
        'ERR_POLICY_NAME',
        /ip:10\.0\.0\.1/,
      ],
      [
        'a mail address',
        { names: [{ kind: 'email', value: 'a@example.com' }] },
        'ERR_POLICY_NAME_KIND',
        /email:a@example\.com/,
      ],
      [
        'to be an authority',
        { extensions: [extension.basicConstraints({ ca: true })] },
        'ERR_CSR_CA',
        /CA flag/,
      ],
      [
        'to sign certificates',
        { extensions: [extension.keyUsage(['keyCertSign'])] },
        'ERR_CSR_USAGE',
        /"keyCertSign", service certificates have digitalSignature/,
      ],
      [
        'to sign code',
        { extensions: [extension.extKeyUsage(['codeSigning'])] },
        'ERR_CSR_USAGE',
        /"codeSigning", service certificates have serverAuth, clientAuth/,
      ],
      [
        'constraints of its own',
        { extensions: [extension.nameConstraints({ permitted: [dns('a')] })] },
        'ERR_CSR_EXTENSION_REFUSED',
        /2\.5\.29\.30/,
      ],
    ];
    for (const [what, options, code, detail] of asks) {
      it(`refuses one that asks for ${what}`, async () => {
        refused(await issue(order, await request(options)), code, detail);
      });
    }

    it('refuses a request that another key signed', async () => {
      const csr = await request();
      csr[csr.length - 5] = (csr[csr.length - 5] ?? 0) ^ 1;
      refused(await issue(order, csr), 'ERR_CSR_POSSESSION', /does not verify/);
    });

    it('refuses what is no request', async () => {
      refused(await issue(order, new Uint8Array([0x30, 0x03, 0x02, 0x01])), 'ERR_DER_TRUNCATED');
    });

    it('refuses keys that are weak, too large, or of another kind than configured', async () => {
      const weak = keySigner(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey);
      refused(await issue(order, await request({ signer: weak })), 'ERR_CSR_KEY_WEAK', /1024 bits/);
      refused(
        await issue(order, await request({ key: { type: 'Ed25519' } })),
        'ERR_POLICY_KEY_KIND',
        /is "Ed25519", service_certificates wants "ECDSA P-256" or longer/,
      );
      issuedOf(await issue(order, await request({ key: { type: 'EC', curve: 'P-384' } })));
    });

    it('refuses to certify its own keys', async () => {
      const signer = {
        ...keySigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey),
      };
      const forged = await request({
        signer: { ...signer, spki: authority.root.spki, sign: () => new Uint8Array(70) },
      });
      refused(await issue(order, forged), 'ERR_CSR_KEY_REUSED');
    });
  });

  it('leaves nothing in the ledger of what was refused', async () => {
    const before = await authority.ledger.status();
    await issue({ spiffeId: payments, dns: ['nowhere.example'] });
    await issue({ spiffeId: payments }, undefined, 100 * hour);
    assert.deepEqual(await authority.ledger.status(), before);
  });
});
