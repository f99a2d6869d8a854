import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { testCa } from './test-ca.ts';

test('a chain of the test CA is one that node:crypto follows', () => {
  const root = testCa();
  const issuing = root.intermediate({ pathLen: 0 });
  const leaf = issuing.leaf({ dns: ['a.test'], ip: ['127.0.0.1'] });
  const [first, second, ...more] = leaf.chain.map((link) => new X509Certificate(link.raw));
  const anchor = new X509Certificate(root.rootPem);
  assert.equal(more.length, 0);
  assert.ok(first?.verify(second!.publicKey) && first.checkIssued(second!));
  assert.ok(second?.verify(anchor.publicKey) && second.checkIssued(anchor));
  assert.ok(first?.checkPrivateKey(leaf.privateKey));
  assert.equal(first?.checkHost('a.test'), 'a.test');
});

test('mutations arrive in the certificate', async () => {
  const root = testCa({ at: Date.UTC(2026, 0, 1) });
  const wrong = root.svid('spiffe://a.test/x', { isCa: true, without: ['2.5.29.14'] });
  assert.equal(wrong.certificate.basicConstraints?.ca, true);
  assert.ok(wrong.certificate.keyUsage?.has('keyCertSign'));
  assert.equal(wrong.certificate.subjectKeyId, undefined);
  const broken = new X509Certificate(root.leaf({ brokenSignature: true }).certificate.raw);
  assert.equal(broken.verify(new X509Certificate(root.rootPem).publicKey), false);
  const list = await root.crl([wrong.certificate]);
  assert.equal(list.entries.get(wrong.certificate.serialHex)?.reason, 'keyCompromise');
});
