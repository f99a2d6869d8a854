import assert from 'node:assert/strict';
import { it } from 'node:test';
import { testClock, testKey } from '@countersign/testkit';
import { keyProofText } from '@countersign/wire';
import { keySigner, signatureAlgorithms, verifySignatureOfKey } from '@countersign/x509';
import { signProof } from './sign-proof.ts';

it('a proof key signs one request, at one time, as its holder', async () => {
  const signer = keySigner(testKey());
  const clock = testClock();
  const csr = Uint8Array.of(1, 2, 3);
  const proof = await signProof(signer, csr, clock);
  assert.equal(proof.at, clock.now());
  assert.deepEqual(proof.key, signer.spki.raw);
  assert.ok(verifySignatureOfKey(signer.spki, keyProofText(proof, csr), proof.signature));
  const other = keyProofText(proof, Uint8Array.of(1, 2, 4));
  assert.ok(!verifySignatureOfKey(signer.spki, other, proof.signature));
});

it('a proof key that would sign by another algorithm than the authority expects is refused', async () => {
  const key = testKey({ type: 'RSA', bits: 2048 });
  const pss = keySigner(key, signatureAlgorithms['RSA-PSS-SHA512']);
  await assert.rejects(signProof(pss, Uint8Array.of(1), testClock()), {
    code: 'ERR_IDENTITY_PROOF_KEY',
    message: /signs by RSA-PSS-SHA512, expected RSA-/,
  });
});
