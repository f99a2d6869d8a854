import assert from 'node:assert/strict';
import { hash, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { equalBytes } from '@countersign/base';
import { testTpm } from '@countersign/testkit';
import type { DeviceName } from '@countersign/x509';
import { attestationObject, cbor, keyAuthority } from '../../test/paper-attestation.ts';
import { parseAttestationObject } from './attestation-object.ts';
import { readCbor } from './read-cbor.ts';
import { verifyTpmStatement } from './verify-tpm-statement.ts';

const devices: readonly DeviceName[] = [{ kind: 'permanentIdentifier', value: 'SN-1' }];
const signed = 'token.thumbprint';
const authority = keyAuthority();
const roots = [authority.root];
const at = Date.now();

function verify(object: Uint8Array, about = signed, trusted = roots) {
  const { statement } = parseAttestationObject(object);
  return verifyTpmStatement({ statement, signed: about, roots: trusted, at });
}

for (const kind of ['rsa', 'ecc'] as const) {
  describe(`an attestation by a TPM with ${kind} keys`, () => {
    const tpm = testTpm(kind);
    const key = tpm.key().public;
    const certificate = authority.certify(tpm, devices);
    const object = attestationObject(tpm, certificate, key, signed);

    it('makes a key evident, and the device that the attestation key is certified for', () => {
      const found = verify(object);
      assert.ok(found.ok, JSON.stringify(found));
      assert.ok(equalBytes(found.spki.raw, key.spki.raw));
      assert.deepEqual(found.devices, devices);
    });

    const refusals: readonly (readonly [string, string, () => ReturnType<typeof verify>])[] = [
      ['for another challenge', 'ERR_ATTEST_BINDING', () => verify(object, 'token.other')],
      [
        'under another root',
        'ERR_PATH_SIGNATURE',
        () => verify(object, signed, [keyAuthority().root]),
      ],
      [
        'of another key than is certified',
        'ERR_ATTEST_BINDING',
        () => verifying({ pubArea: tpm.key().public.raw }),
      ],
      [
        'signed by another TPM',
        'ERR_ATTEST_SIGNATURE',
        () => verifying({ sig: testTpm(kind).certify(key.name, digest()).signature }),
      ],
      ['by another algorithm than it says', 'ERR_ATTEST_SIGNATURE', () => verifying({ alg: -259 })],
      ['by an algorithm that is not known', 'ERR_ATTEST_FORM', () => verifying({ alg: -65535 })],
      ['of another version', 'ERR_ATTEST_BINDING', () => verifying({ ver: '1.2' })],
      ['that is a quote', 'ERR_ATTEST_BINDING', () => quoting()],
      ['without certificates', 'ERR_ATTEST_FORM', () => verifying({ x5c: [] })],
      [
        'with a certificate that is none',
        'ERR_DER_TRUNCATED',
        () => verifying({ x5c: [randomBytes(0)] }),
      ],
      ['with a text where bytes are to be', 'ERR_ATTEST_FORM', () => verifying({ sig: 'a' })],
      [
        'by a key that is certified for something else',
        'ERR_ATTEST_KEY_CERTIFICATE',
        () => certified({ extKeyUsage: ['serverAuth'] }),
      ],
      ['by a CA', 'ERR_ATTEST_KEY_CERTIFICATE', () => certified({ isCa: true })],
      [
        'by a key of nobody knows which TPM',
        'ERR_ATTEST_KEY_CERTIFICATE',
        () => certified({ names: [], uri: ['urn:a'] }),
      ],
      [
        'by a certificate that has ended',
        'ERR_CERT_EXPIRED',
        () => certified({ notAfter: at - 60_000 }),
      ],
      [
        'of a key that was made elsewhere',
        'ERR_ATTEST_KEY',
        () => verify(attestationObject(tpm, certificate, tpm.key(['sign']).public, signed)),
      ],
    ];
    const digest = () => hash('sha256', signed, 'buffer');
    const verifying = (statement: object) =>
      verify(attestationObject(tpm, certificate, key, signed, { statement }));
    const certified = (more: object) =>
      verify(attestationObject(tpm, authority.certify(tpm, devices, more), key, signed));
    const quoting = () => {
      const { attest, signature } = tpm.quote(digest());
      return verifying({ certInfo: attest, sig: signature });
    };
    for (const [what, code, ask] of refusals) {
      it(`is refused ${what}`, () => {
        const answer = ask();
        assert.deepEqual(
          [answer.ok, answer.ok || answer.code],
          [false, code],
          JSON.stringify(answer),
        );
      });
    }
  });
}

describe('CBOR', () => {
  it('is read as it was written', () => {
    const value = { a: -1, b: 65_535, c: 'é', d: [Uint8Array.of(1), 23, 24], e: { f: 255 } };
    const read = readCbor(cbor(value)) as ReadonlyMap<string, unknown>;
    assert.deepEqual([read.get('a'), read.get('b'), read.get('c')], [-1, 65_535, 'é']);
    assert.deepEqual((read.get('d') as unknown[]).slice(1), [23, 24]);
    assert.equal((read.get('e') as ReadonlyMap<string, unknown>).get('f'), 255);
  });

  const wrong: readonly (readonly [string, string])[] = [
    ['nothing', ''],
    ['an octet too many', '0000'],
    ['a length beyond the end', '5affffffff'],
    ['a list of more than fits', '9affffffff'],
    ['a list of 2^53', '9b0020000000000000'],
    ['an integer that is too long', '1801'],
    ['an indefinite length', '5f41004100ff'],
    ['a tag', 'c000'],
    ['a float', 'f93c00'],
    ['undefined', 'f7'],
    ['a key twice', 'a2616101616102'],
    ['a number for a key', 'a10102'],
    ['no UTF-8', '61ff'],
    ['a deep nest', `${'81'.repeat(12)}00`],
  ];
  for (const [what, hex] of wrong) {
    it(`with ${what} is refused`, () => {
      assert.throws(() => readCbor(Buffer.from(hex, 'hex')), { code: 'ERR_ATTEST_FORM' });
    });
  }
});
