import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeBundle, makeSvid } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { proveIdentity } from './prove-issued.ts';

const at = Date.UTC(2026, 0, 1);
const ca = testCa({ at });
const bundle = makeBundle('example.test', [ca.root]);

for (const [usages, ok] of [
  [['serverAuth', 'clientAuth'], true],
  [['clientAuth'], true],
  [['serverAuth'], true],
  [['codeSigning'], false],
] as const) {
  test(`a certificate for ${usages.join(' and ')} is ${ok ? '' : 'not '}an identity`, () => {
    const { chain, privateKey } = ca.svid('spiffe://example.test/shop', { extKeyUsage: usages });
    const svid = makeSvid(chain, privateKey);
    assert.equal(proveIdentity({ svid, bundle }, at).ok, ok);
  });
}
