import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { AlgorithmIdentifier } from './algorithm-identifier.ts';
import { readAlgorithmIdentifier } from './algorithm-identifier.ts';
import { DerReader } from './der-reader.ts';
import {
  type SignatureAlgorithmName,
  signatureAlgorithmOf,
  signatureAlgorithms,
} from './signature-algorithms.ts';
import { verifySignature } from './signer.ts';
import { parseSpki } from './spki.ts';

const folder = new URL('../../../../shared/vectors/wycheproof/', import.meta.url);
const skip = existsSync(folder) ? false : 'no ../shared/vectors/wycheproof';

interface Group {
  readonly publicKeyDer: string;
  readonly tests: readonly {
    readonly tcId: number;
    readonly comment: string;
    readonly msg: string;
    readonly sig: string;
    readonly result: 'valid' | 'invalid' | 'acceptable';
  }[];
}

const groupsOf = (file: string): readonly Group[] =>
  JSON.parse(readFileSync(new URL(`${file}_test.json`, folder), 'utf8')).testGroups;
const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));
const identifierOf = (name: SignatureAlgorithmName): AlgorithmIdentifier =>
  readAlgorithmIdentifier(
    DerReader.over(signatureAlgorithms[name].identifier, 'algorithm'),
    'algorithm',
  );

const files: readonly (readonly [string, SignatureAlgorithmName])[] = [
  ['ecdsa_secp256r1_sha256', 'ECDSA-SHA256'],
  ['ecdsa_secp384r1_sha384', 'ECDSA-SHA384'],
  ['ecdsa_secp521r1_sha512', 'ECDSA-SHA512'],
  ['rsa_signature_2048_sha256', 'RSA-SHA256'],
  ['rsa_signature_3072_sha256', 'RSA-SHA256'],
  ['rsa_signature_4096_sha512', 'RSA-SHA512'],
  ['rsa_pss_2048_sha256_mgf1_32', 'RSA-PSS-SHA256'],
  ['rsa_pss_2048_sha256_mgf1_32_params', 'RSA-PSS-SHA256'],
  ['rsa_pss_4096_sha512_mgf1_64', 'RSA-PSS-SHA512'],
  ['ed25519', 'Ed25519'],
];

for (const [file, name] of files) {
  test(`${file}: every valid signature is accepted and every invalid one refused`, { skip }, () => {
    const algorithm = identifierOf(name);
    let counted = 0;
    for (const { publicKeyDer, tests } of groupsOf(file)) {
      const spki = parseSpki(bytes(publicKeyDer));
      for (const { tcId, comment, msg, sig, result } of tests) {
        const accepted = verifySignature(spki, algorithm, bytes(msg), bytes(sig));
        // "acceptable": PKCS #1 signatures whose hash identifier lacks its NULL; we refuse them
        assert.equal(accepted, result === 'valid', `${tcId} ${comment} (${result})`);
        counted += 1;
      }
    }
    assert.ok(counted > 100);
  });
}

test('rsa_pss_misc_params: any salt length, but one strong hash for message and mask', {
  skip,
}, () => {
  const accepted: string[] = [];
  for (const group of groupsOf('rsa_pss_misc_params')) {
    const spki = parseSpki(bytes(group.publicKeyDer));
    const row = signatureAlgorithmOf(spki.algorithm);
    const { sha, mgfSha, sLen } = group as Group & { sha: string; mgfSha: string; sLen: number };
    const isAccepted = ['SHA-256', 'SHA-384', 'SHA-512'].includes(sha) && sha === mgfSha;
    assert.equal(row !== undefined, isAccepted, `${sha} ${mgfSha} ${sLen}`);
    for (const { msg, sig } of group.tests) {
      assert.equal(verifySignature(spki, spki.algorithm, bytes(msg), bytes(sig)), isAccepted);
    }
    if (isAccepted) accepted.push(`${sha}/${sLen}`);
  }
  assert.equal(accepted.length, 18);
});
