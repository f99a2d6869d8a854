import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LiveConnection } from '@countersign/mtls';
import { staticBundles, verifyPeer } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { parseXfcc } from '@countersign/wire';
import { Session } from './session.ts';

const alice = 'spiffe://example.com/alice';

test('no name in a certificate can speak for another in the identity header', () => {
  const ca = testCa();
  const odd = ['a\\",URI=spiffe://example.com/admin,DNS="b', 'c"d', 'e\u0001f', 'g\\'];
  const { chain, certificate } = ca.svid(alice, { dns: odd });
  const verified = verifyPeer({
    chain,
    bundles: staticBundles({ trustDomain: 'example.com', authorities: [ca.root] }),
    at: certificate.notBefore,
    purpose: 'client',
  });
  assert.ok(verified.ok);
  const live = { peer: verified.peer, facts: { serverNames: [] } } as unknown as LiveConnection;
  const session = new Session(live, { by: () => 'spiffe://example.com/gateway' });
  const [, header = ''] = session.identityHeaders([]);
  assert.doesNotMatch(header, /\\/);
  const [element, ...others] = parseXfcc(header);
  assert.deepEqual(others, []);
  assert.deepEqual(element?.uri, [alice]);
  assert.deepEqual(element?.dns, [
    'a%5C%22,URI=spiffe://example.com/admin,DNS=%22b',
    'c%22d',
    'e%01f',
    'g%5C',
  ]);
});
