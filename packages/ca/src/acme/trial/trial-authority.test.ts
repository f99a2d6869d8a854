import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { it } from 'node:test';
import { noLog, systemClock } from '@countersign/base';
import { type Signer, signatureAlgorithms, spkiOf } from '@countersign/x509';
import { AcmeClient } from '../../../test/acme-client.ts';
import { request } from '../../../test/authority-under-test.ts';
import { Authority } from '../../authority.ts';
import type { AuthorityParts } from '../../authority-parts.ts';
import { parseCaConfig } from '../../ca-config.ts';
import { memoryLedger } from '../../ledger/memory-ledger.ts';
import { openSqliteLedger } from '../../ledger/sqlite-ledger.ts';
import { trialKeysOf } from '../../requests/trial-keys.ts';
import { type AcmeConfig, noTrials } from '../acme-config.ts';
import { usualResources } from '../acme-resources.ts';
import { openTrialAuthority } from './trial-authority.ts';

const yaml = (root: string) => `
ca:
  root: { curve: P-256, validity: 87600h, pathLenConstraint: 2, commonName: ${root} }
  intermediate:
    services: { issuer: above, curve: P-256, pathLenConstraint: 0 }
    above: { curve: P-256, pathLenConstraint: 1 }
service_certificates:
  san_policies:
    require_spiffe: false
    spiffe_trust_domain: trial.invalid
    allowed_dns_patterns: ["*"]
requests: { other_names: ignore }
`;

const config: AcmeConfig = {
  ...{ path: '', directory: '/dir', resources: usualResources, provisioner: 'acme' },
  ...{ challenges: ['http-01'], termsOfService: undefined, website: undefined },
  ...{ externalAccountRequired: false, externalAccounts: [] },
  profiles: [
    {
      ...{ name: 'default', description: '', profile: undefined, spiffeId: undefined },
      ...{ lifetimeMs: 3_600_000, commonName: true },
    },
  ],
  ...{ authorizationMs: 3_600_000, orderMs: 3_600_000, reusePercent: 0, ordersPerPage: 10 },
  ...{ retryAfter: { authorization: 0, order: 0 }, blockedDomains: [], caaIdentities: [] },
  ...{ alternateChains: [], requestedValidity: true, trials: noTrials },
  limits: { accountsPerHour: 0, ordersPerHour: 0, identifiers: 10 },
  validation: {
    ...{ httpPort: 1, tlsAlpnPort: 1, vantages: [[]], mayFail: 0, allow: [], isOpen: true },
    ...{ timeoutMs: 1000, retryMs: [], sleepMs: 0, alwaysValid: true },
  },
};

it('an authority for trying clients out issues under one key by several roots', async () => {
  const roots = ['One', 'Other'].map((each) => parseCaConfig(yaml(each), 'trial'));
  const [one = assert.fail(), ...others] = roots;
  const trial = await openTrialAuthority({
    hierarchies: [one, ...others],
    acme: config,
    ocspUrl: 'http://127.0.0.1:4002/ocsp',
    clock: systemClock,
    log: noLog,
  });
  const server = createServer((asked, answer) => void trial.edge.answer(asked, answer));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    // 1. a certificate whose name nobody looked at, and whose address of mail is left out
    const acme = await AcmeClient.at((server.address() as AddressInfo).port, '/dir');
    await acme.register();
    const identifiers = [{ type: 'dns', value: 'trial.example.com' }];
    const { body: order } = await acme.post(acme.directory.newOrder, { identifiers });
    const [authorization] = order.authorizations;
    const [challenge] = (await acme.get(authorization)).body.challenges;
    await acme.post(challenge.url, {});
    await acme.until(authorization, ({ status }) => status === 'valid');
    const names = [
      { kind: 'dns', value: 'trial.example.com' },
      { kind: 'email', value: 'ops@example.com' },
    ] as const;
    const csr = Buffer.from(await request({ names })).toString('base64url');
    const done = await acme.post(order.finalize, { csr });
    assert.equal(done.status, 200, done.text);

    // 2. its chains, each to a root of its own by the same key
    const usual = await acme.get(done.body.certificate);
    const [, link] = /<([^>]*)>;rel="alternate"/.exec(String(usual.headers.link)) ?? [];
    const other = await acme.get(link ?? assert.fail('no alternate'));
    for (const [i, { text }] of [usual, other].entries()) {
      const chain = text
        .split(/(?<=-----END CERTIFICATE-----\n)/)
        .map((pem) => new X509Certificate(pem));
      assert.equal(chain.length, 3);
      const { root, intermediate } = trial.hierarchies[i] ?? assert.fail();
      assert.ok(Buffer.from(intermediate.raw).equals(chain[1]?.raw ?? Buffer.alloc(0)));
      const path = [...chain, new X509Certificate(root.raw)];
      for (const [depth, each] of chain.entries()) {
        assert.ok(each.verify(path[depth + 1]?.publicKey ?? assert.fail()));
      }
    }
    const leaf = new X509Certificate(usual.text);
    assert.equal(leaf.subjectAltName, 'DNS:trial.example.com');
    assert.equal(leaf.subject, 'CN=trial.example.com');
    assert.match(String(leaf.infoAccess), /OCSP - URI:http:\/\/127\.0\.0\.1:4002\/ocsp/);

    // 3. for keys that clients' own tests have, and none shorter
    const finalizeWith = async (bits: number) => {
      const asked = await acme.post(acme.directory.newOrder, { identifiers });
      const [place] = asked.body.authorizations;
      await acme.post((await acme.get(place)).body.challenges[0].url, {});
      await acme.until(place, ({ status }) => status === 'valid');
      const csr = Buffer.from(await shortRequest(bits)).toString('base64url');
      return await acme.post(asked.body.finalize, { csr });
    };
    assert.equal((await finalizeWith(1024)).status, 200);
    assert.match((await finalizeWith(1016)).text, /badCSR/);
  } finally {
    server.close();
    await trial.close();
  }
});

it('what is kept cannot be an authority with keys for trials', async (t) => {
  const file = join(mkdtempSync(join(tmpdir(), 'countersign-trial-')), 'ledger.db');
  t.after(() => rmSync(dirname(file), { recursive: true }));
  const kept = await openSqliteLedger({ file, create: true, clock: systemClock, log: noLog });
  t.after(() => kept.close());
  assert.throws(() => trialKeysOf(kept), /a ledger that is kept/);
  const trialKeys = trialKeysOf(memoryLedger({ clock: systemClock }));
  const parts = { config: {}, issuers: [], ledger: kept, trialKeys } as unknown as AuthorityParts;
  assert.throws(() => new Authority(parts), /another ledger/);
});

/** Of a key that our own signers refuse. */
async function shortRequest(bits: number): Promise<Uint8Array> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: bits });
  const signer: Signer = {
    spki: spkiOf(publicKey),
    algorithm: signatureAlgorithms['RSA-SHA256'],
    sign: async (data) => sign('sha256', data, privateKey),
  };
  return await request({ signer, names: [{ kind: 'dns', value: 'trial.example.com' }] });
}
