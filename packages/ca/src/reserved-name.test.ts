import { test } from 'node:test';
import { issuedOf, peerOf, refused, request, testAuthority } from '../test/authority-under-test.ts';

test('the authority’s own name is granted to no workload, however it is asked for', async () => {
  const authority = await testAuthority();
  const own = authority.ownSpiffeId;
  for (const spiffeId of [own, own.replace('/ca', ''), own.replace('/ca', '/ns/prod')]) {
    refused(await authority.createToken({ spiffeId }), 'ERR_POLICY_SPIFFE_ID');
    refused(await authority.issue({ csr: await request(), spiffeId }), 'ERR_POLICY_SPIFFE_ID');
  }
  const issued = issuedOf(await authority.issueOwn({ csr: await request(), ip: ['127.0.0.1'] }));
  const peer = peerOf(authority, issued);
  const renewed = await authority.renew({ csr: await request(), peer });
  refused(renewed, 'ERR_POLICY_SPIFFE_ID', /below "\/countersign"/);
});

test('a name that only begins like the reserved one is granted', async () => {
  const authority = await testAuthority();
  const spiffeId = `${authority.ownSpiffeId.replace('/ca', '')}er/ns/prod`;
  issuedOf(await authority.issue({ csr: await request(), spiffeId }));
});
