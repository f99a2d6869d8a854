import assert from 'node:assert/strict';
import { test } from 'node:test';
import { staticBundles, verifyPeer } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { expectName } from './expect-peer.ts';

test('a name is expected by the rules of path validation, which no wildcard of strangers passes', () => {
  assert.deepEqual(answer('a.svc.test', ['*.svc.test']), { ok: true });
  const refused = answer('a.test', ['*.test']);
  assert.ok(!refused.ok);
  assert.equal(refused.code, 'ERR_PEER_UNEXPECTED');
  assert.match(refused.detail, /has "dns:\*\.test", .*expected "dns:a\.test"/);
});

function answer(dns: string, shown: readonly string[]) {
  const ca = testCa();
  const { chain, certificate } = ca.svid('spiffe://example.test/server', { dns: shown });
  const verified = verifyPeer({
    chain,
    bundles: staticBundles({ trustDomain: 'example.test', authorities: [ca.root] }),
    at: certificate.notBefore,
    purpose: 'server',
  });
  assert.ok(verified.ok);
  return expectName({ dns })(verified.peer);
}
