import assert from 'node:assert/strict';
import { it } from 'node:test';
import { formatName, oids } from '@countersign/x509';
import { leafOf, refused, request, testAuthority } from '../test/authority-under-test.ts';

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
