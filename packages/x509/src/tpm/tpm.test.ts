import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { equalBytes } from '@countersign/base';
import { testTpm } from '@countersign/testkit';
import { spkiOf } from '../spki.ts';
import { makeCredential } from './make-credential.ts';
import { parseTpmAttest } from './tpm-attest.ts';
import { parseTpmPublic } from './tpm-public.ts';
import { parseTpmSignature, verifyTpmSignature } from './tpm-signature.ts';

for (const kind of ['rsa', 'ecc'] as const) {
  describe(`what a TPM with ${kind} keys says`, () => {
    const tpm = testTpm(kind);
    const key = tpm.key();

    it('is read whole: key, statement and signature', () => {
      const nonce = randomBytes(32);
      const { attest, signature } = tpm.certify(key.public.name, nonce);
      const read = parseTpmAttest(attest);
      assert.equal(read.attested.kind, 'certify');
      assert.ok(
        read.attested.kind === 'certify' && equalBytes(read.attested.name, key.public.name),
      );
      assert.ok(equalBytes(read.extraData, nonce));
      const parsed = parseTpmSignature(signature);
      assert.ok(verifyTpmSignature(tpm.attestation.spki, attest, parsed));
      assert.ok(!verifyTpmSignature(tpm.endorsement.spki, attest, parsed));
      assert.ok(!verifyTpmSignature(tpm.attestation.spki, tpm.quote(nonce).attest, parsed));
      assert.deepEqual([...key.public.attributes].includes('sign'), true);
      assert.equal(parseTpmAttest(tpm.quote(nonce).attest).attested.kind, 'quote');
    });

    it('opens a credential for its own attestation key, and no other', () => {
      const secret = randomBytes(32);
      const made = makeCredential(tpm.endorsement, tpm.attestation.name, secret);
      assert.deepEqual(Buffer.from(tpm.activate(made)), secret);
      const foreign = makeCredential(tpm.endorsement, key.public.name, secret);
      assert.throws(() => tpm.activate(foreign));
      const { blob, secret: sealed } = makeCredential(
        testTpm(kind).endorsement,
        tpm.attestation.name,
        secret,
      );
      assert.throws(() => tpm.activate({ blob, secret: sealed }));
    });

    it('is refused by its name wherever it is cut, and with an octet more', () => {
      const { attest, signature } = tpm.quote(randomBytes(32));
      const readers = [
        [key.public.raw, parseTpmPublic],
        [tpm.endorsement.raw, parseTpmPublic],
        [attest, parseTpmAttest],
        [signature, parseTpmSignature],
      ] as const;
      for (const [bytes, read] of readers) {
        for (let end = 0; end < bytes.byteLength; end += 1) {
          assert.throws(() => read(bytes.subarray(0, end)), { code: /^ERR_TPM_/ }, `${end}`);
        }
        assert.throws(() => read(Buffer.concat([bytes, Buffer.alloc(1)])), {
          code: 'ERR_TPM_FORM',
        });
        for (let at = 0; at < bytes.byteLength; at += 1) {
          const turned = Uint8Array.from(bytes);
          turned[at] = (turned[at] ?? 0) ^ 0x80;
          try {
            read(turned);
          } catch (thrown) {
            assert.match(String((thrown as { code?: string }).code), /^ERR_(TPM|KEY)_/);
          }
        }
      }
    });
  });
}

describe('what no TPM says', () => {
  it('is refused: another magic, and a point that is not on its curve', () => {
    const tpm = testTpm();
    const { attest } = tpm.quote(randomBytes(32));
    const forged = Uint8Array.from(attest);
    forged[0] = 0xfe;
    assert.throws(() => parseTpmAttest(forged), {
      code: 'ERR_TPM_FORM',
      message: /no TPM said this/,
    });
    const off = Uint8Array.from(tpm.attestation.raw);
    off[off.byteLength - 1] = (off.at(-1) ?? 0) ^ 1;
    assert.throws(() => parseTpmPublic(off), { code: 'ERR_TPM_FORM', message: /no such key/ });
  });

  it('a key that does not decrypt is no endorsement key', () => {
    const { attestation } = testTpm();
    const make = () => makeCredential(attestation, attestation.name, randomBytes(32));
    assert.throws(make, { code: 'ERR_TPM_UNSUPPORTED' });
  });

  it('an RSA key that is too short for a secret is none either', () => {
    const { endorsement, attestation } = testTpm('rsa');
    const short = spkiOf(generateKeyPairSync('rsa', { modulusLength: 512 }).publicKey);
    const octets = randomBytes(32);
    const make = () => makeCredential({ ...endorsement, spki: short }, attestation.name, octets);
    assert.throws(make, { code: 'ERR_TPM_UNSUPPORTED', message: /below 2048 bits/ });
  });
});
