import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock } from '@countersign/base';
import { type Certificate, parseCertificate } from '@countersign/x509';
import { issuedOf, payments, request } from '../../test/authority-under-test.ts';
import { publishYaml } from '../../test/published-authority.ts';
import { type Authority, ephemeralAuthority, parseCaConfig } from '../index.ts';
import { shardDigits, shardOf, slugOf } from './published-paths.ts';

async function authorityThat(publish: string): Promise<Authority> {
  const config = parseCaConfig(publishYaml(publish), 'ca.yaml');
  return await ephemeralAuthority({ config, clock: systemClock });
}

async function leafOf(authority: Authority): Promise<Certificate> {
  const issued = await authority.issue({ csr: await request(), spiffeId: payments });
  return parseCertificate(issuedOf(issued).chain[0]);
}

const pointsOf = (certificate: Certificate, of: 'crlDistributionPoints' | 'freshestCrl') =>
  (certificate[of] ?? []).flatMap(({ fullName }) =>
    fullName.map((name) => (name.kind === 'uri' ? name.value : name.kind)),
  );

describe('what certificates say about where to ask', () => {
  it('is nothing where ca.yaml publishes nothing', async () => {
    const authority = await authorityThat('');
    const leaf = await leafOf(authority);
    assert.equal(leaf.crlDistributionPoints, undefined);
    assert.equal(leaf.authorityInfoAccess, undefined);
    await authority.close();
  });

  it('is the list, the responder and the issuer, in leaves and in intermediates', async () => {
    const authority = await authorityThat('{ url: "http://pki.example.com/x" }');
    const [root, services] = authority.publishers();
    assert.ok(root && services);
    for (const [certificate, by] of [
      [await leafOf(authority), services],
      [services.certificate, root],
    ] as const) {
      const slug = slugOf(by.name, by.certificate);
      assert.deepEqual(pointsOf(certificate, 'crlDistributionPoints'), [
        `http://pki.example.com/x/crl/${slug}.crl`,
      ]);
      assert.deepEqual(
        certificate.authorityInfoAccess?.map(({ method, location }) => [
          method,
          location.kind === 'uri' && location.value,
        ]),
        [
          ['ocsp', 'http://pki.example.com/x/ocsp'],
          ['caIssuers', `http://pki.example.com/x/ca/${slug}.cer`],
        ],
      );
      assert.equal(certificate.freshestCrl, undefined);
    }
    await authority.close();
  });

  it('names the list that the serial number decides, also for the delta', async () => {
    const publish = '{ url: "http://pki.example.com", crl: { shards: 150, delta: true } }';
    const authority = await authorityThat(publish);
    const [, services] = authority.publishers();
    assert.ok(services);
    const slug = slugOf('services', services.certificate);
    const seen = new Set<number>();
    for (let i = 0; i < 25; i += 1) {
      const leaf = await leafOf(authority);
      const shard = shardOf(leaf.serial, 150);
      seen.add(shard);
      const path = `http://pki.example.com/crl/${slug}/150/${shardDigits(shard)}`;
      assert.deepEqual(pointsOf(leaf, 'crlDistributionPoints'), [`${path}.crl`]);
      assert.deepEqual(pointsOf(leaf, 'freshestCrl'), [`${path}-delta.crl`]);
    }
    assert.ok(seen.size > 10);
    await authority.close();
  });

  it('leaves out what is switched off', async () => {
    const authority = await authorityThat('{ url: "http://a", crl: { enabled: false } }');
    const leaf = await leafOf(authority);
    assert.equal(leaf.crlDistributionPoints, undefined);
    assert.equal(leaf.authorityInfoAccess?.[0]?.method, 'ocsp');
    await authority.close();
    const lists = await authorityThat('{ url: "http://a", ocsp: { enabled: false } }');
    const other = await leafOf(lists);
    assert.deepEqual(
      other.authorityInfoAccess?.map(({ method }) => method),
      ['caIssuers'],
    );
    await lists.close();
  });
});
