import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testCa } from '@countersign/testkit';
import { bundleDigest } from './bundle-digest.ts';

test('a digest tells bundles apart by their authorities and trust domain, and by nothing else', async () => {
  const [a, b] = [(await testCa()).root, (await testCa()).root];
  const both = { trustDomain: 'example.com', authorities: [a, b] };
  assert.match(bundleDigest(both), /^[0-9a-f]{64}$/);
  assert.equal(
    bundleDigest(both),
    bundleDigest({ ...both, authorities: [b, a], sequence: 7, refreshHintSeconds: 30 }),
  );
  const others = [
    { ...both, authorities: [a] },
    { ...both, authorities: [b] },
    { ...both, trustDomain: 'example.org' },
  ];
  assert.equal(new Set([both, ...others].map(bundleDigest)).size, 4);
});
