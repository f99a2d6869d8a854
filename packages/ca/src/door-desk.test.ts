import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type Certificate, formatName, oids, parseCertificate } from '@countersign/x509';
import { leafOf, refused, request, testAuthority } from '../test/authority-under-test.ts';
import { authorityForAcme } from './acme/authority-for-acme.ts';

const door = { provisioner: 'door', caller: 'door:me', evidence: 'a request of me' };
const spiffeId = 'spiffe://example.com/ns/prod/sa/web';
const named = { ...door, spiffeId, dns: ['web.prod.internal'] };

it('a door may ask for a common name, which the policy judges as the names are', async () => {
  const authority = await testAuthority();
  const { doors } = authority;
  const csr = await request();
  const first = leafOf(await doors.vouch({ ...named, csr, commonName: 'WEB.prod.internal' }));
  assert.equal(formatName(first.subject), 'CN=web.prod.internal');
  // RFC 5280 §4.2.1.6: not critical beside a subject
  const [names] = first.extensions.filter(({ oid }) => oid === oids.subjectAltName);
  assert.equal(names?.critical, false);

  const apart = leafOf(await doors.vouch({ ...named, csr, commonName: 'title.prod.internal' }));
  assert.equal(formatName(apart.subject), 'CN=title.prod.internal');
  assert.deepEqual(
    apart.subjectAltNames.map((each) => each.kind),
    ['uri', 'dns'],
  );

  refused(await doors.vouch({ ...named, csr, commonName: 'evil.invalid' }), 'ERR_POLICY_DNS');
  refused(await doors.vouch({ ...named, csr, commonName: 'My Service' }), 'ERR_POLICY_DNS');
  const nameless = { ...door, csr, commonName: 'web.prod.internal' };
  refused(await doors.vouch(nameless), 'ERR_POLICY_NAME_MISSING');
  const long = `${'a'.repeat(60)}.prod.internal`;
  refused(await doors.vouch({ ...named, csr, commonName: long }), 'ERR_CSR_COMMON_NAME');
  const said = leafOf(await doors.vouch({ ...named, csr, dns: [long], commonName: long }));
  assert.equal(formatName(said.subject), '');
  await authority.close();
});

it('a door may have fewer usages than the profile has, and none beyond it', async () => {
  const authority = await testAuthority();
  const { doors } = authority;
  const csr = await request();
  const wish = { keyUsage: undefined, extKeyUsage: ['serverAuth'], required: [] };
  const servers = leafOf(await doors.vouch({ ...named, csr, usages: wish }));
  assert.deepEqual(servers.extKeyUsage, ['serverAuth']);
  assert.equal(servers.keyUsage?.size, 1);
  const all = leafOf(await doors.vouch({ ...named, csr }));
  assert.deepEqual(all.extKeyUsage, ['serverAuth', 'clientAuth']);
  const signing = { ...wish, extKeyUsage: ['serverAuth', 'codeSigning'] };
  const both = leafOf(await doors.vouch({ ...named, csr, usages: signing }));
  assert.deepEqual(both.extKeyUsage, ['serverAuth']);
  const must = { ...signing, required: ['codeSigning'] };
  refused(await doors.vouch({ ...named, csr, usages: must }), 'ERR_CSR_USAGE', /codeSigning/);
  const enciphers = { ...wish, keyUsage: ['keyEncipherment' as const] };
  refused(await doors.vouch({ ...named, csr, usages: enciphers }), 'ERR_CSR_USAGE', /no usage/);
  const none = { ...wish, extKeyUsage: ['codeSigning'] };
  refused(await doors.vouch({ ...named, csr, usages: none }), 'ERR_CSR_USAGE', /no usage/);
  await authority.close();
});

it('what stands in for a certificate is signed by the issuer of that, through ACME by its number too', async () => {
  const yaml = `
ca: { intermediate: { first: { validity: 168h }, second: { validity: 168h } } }
service_certificates: { validity: 1h, san_policies: { spiffe_trust_domain: example.com } }
`;
  const authority = await testAuthority({ yaml });
  const order = { ...door, csr: await request(), spiffeId };
  const issuerOf = (leaf: Certificate) => formatName(leaf.issuer);
  const first = leafOf(await authority.doors.vouch(order));
  const second = leafOf(await authority.doors.vouch({ ...order, issuer: 'second' }));
  assert.notEqual(issuerOf(first), issuerOf(second));
  const renewed = leafOf(await authority.doors.vouch({ ...order, renews: second }));
  assert.equal(issuerOf(renewed), issuerOf(second));
  // Who asks for another one gets that.
  const moved = leafOf(await authority.doors.vouch({ ...order, renews: second, issuer: 'first' }));
  assert.equal(issuerOf(moved), issuerOf(first));

  const asked = { ...order, identifiers: [], profile: undefined, commonName: undefined };
  const acme = { ...asked, lifetimeMs: undefined, beginsAt: undefined };
  for (const before of [first, second]) {
    const answer = await authorityForAcme(authority).issue({ ...acme, replaces: before.serialHex });
    assert.ok(answer.ok);
    const [leaf = new Uint8Array()] = answer.chain;
    assert.equal(issuerOf(parseCertificate(leaf)), issuerOf(before));
  }
  await authority.close();
});
