import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type BundleSource,
  staticBundles,
  type VerifiedPeer,
  verifyPeer,
} from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { anonymous } from './live-connection.ts';
import { stillAnchored } from './still-anchored.ts';

const ca = testCa();
const other = testCa({ name: 'other' });
const leaf = ca.intermediate().svid('spiffe://example.test/alice');
const bundlesOf = (...roots: (typeof ca)[]) =>
  staticBundles({ trustDomain: 'example.test', authorities: roots.map(({ root }) => root) });

function ask(bundles: BundleSource, at = Date.now()) {
  return stillAnchored({ bundles, at, purpose: 'client' });
}

function peer(): VerifiedPeer {
  const at = Date.now();
  const verified = verifyPeer({ chain: leaf.chain, bundles: bundlesOf(ca), at, purpose: 'client' });
  assert.ok(verified.ok);
  return verified.peer;
}

test('a peer stays while its anchor is in force, alone or among others', () => {
  assert.equal(ask(bundlesOf(ca))(peer()).ok, true);
  assert.equal(ask(bundlesOf(other, ca))(peer()).ok, true);
});

test('a peer whose anchor was taken out is refused, and so is one whose whole bundle is gone', () => {
  for (const bundles of [bundlesOf(other), bundlesOf(), staticBundles()]) {
    const answer = ask(bundles)(peer());
    assert.equal(!answer.ok && answer.code, 'ERR_PEER_ANCHOR_GONE');
  }
});

test('expiry is not judged here, and nobody has no anchor', () => {
  const late = leaf.certificate.notAfter + 1000;
  assert.equal(ask(bundlesOf(ca), late)(peer()).ok, true);
  assert.equal(ask(bundlesOf(other), late)(peer()).ok, false);
  assert.equal(ask(staticBundles())(anonymous).ok, true);
});
