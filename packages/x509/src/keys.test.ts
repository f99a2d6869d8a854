import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { readAlgorithmIdentifier } from './algorithm-identifier.ts';
import { DerReader } from './der-reader.ts';
import { der } from './der-writer.ts';
import { formatKeyKind, judgeKey, type KeyKind, keyKindOf } from './key-kind.ts';
import { oids } from './oids.ts';
import { decodePrivateKey, encodePrivateKey, generateKeyPair } from './private-key.ts';
import {
  type SignatureAlgorithm,
  signatureAlgorithmOf,
  signatureAlgorithms,
} from './signature-algorithms.ts';
import { keySigner, verifySignature } from './signer.ts';
import { parseSpki, publicKeyOf, type SubjectPublicKeyInfo, spkiOf } from './spki.ts';

const identifier = (row: SignatureAlgorithm) =>
  readAlgorithmIdentifier(DerReader.over(row.identifier, 'algorithm'), 'algorithm');

const kinds: readonly (readonly [string, KeyKind])[] = [
  ['ECDSA P-256', { type: 'EC', curve: 'P-256' }],
  ['ECDSA P-384', { type: 'EC', curve: 'P-384' }],
  ['ECDSA P-521', { type: 'EC', curve: 'P-521' }],
  ['RSA 2048', { type: 'RSA', bits: 2048 }],
  ['RSA-PSS 2048', { type: 'RSA-PSS', bits: 2048 }],
  ['Ed25519', { type: 'Ed25519' }],
  ['ML-DSA-65', { type: 'ML-DSA', set: 65 }],
];

test('every kind of key is made, signs, verifies and survives its PEM', async (context) => {
  for (const [text, kind] of kinds) {
    const pair = await generateKeyPair(kind).catch((thrown) => {
      if (thrown.code !== 'ERR_KEY_UNSUPPORTED') throw thrown;
      context.diagnostic(`skipped ${text}: ${thrown.message}`);
    });
    if (pair === undefined) continue;
    const read = decodePrivateKey(encodePrivateKey(pair.privateKey));
    const signer = keySigner(read);
    assert.equal(formatKeyKind(keyKindOf(signer.spki) ?? { type: 'Ed25519' }), text);
    assert.deepEqual(judgeKey(signer.spki), { ok: true, kind });
    assert.ok(publicKeyOf(parseSpki(signer.spki.raw)).equals(pair.publicKey));
    const data = randomBytes(100);
    const signature = await signer.sign(data);
    const algorithm = identifier(signer.algorithm);
    assert.equal(signatureAlgorithmOf(algorithm), signer.algorithm);
    assert.ok(verifySignature(spkiOf(pair.publicKey), algorithm, data, signature), text);
    data[0] = (data[0] ?? 0) ^ 1;
    assert.equal(verifySignature(signer.spki, algorithm, data, signature), false, text);
  }
});

test('an RSA key signs with PSS where asked, and an algorithm of another kind of key is refused', async () => {
  const { privateKey } = await generateKeyPair({ type: 'RSA', bits: 2048 });
  const row = signatureAlgorithms['RSA-PSS-SHA384'];
  const signer = keySigner(privateKey, row);
  const signature = await signer.sign(Buffer.from('x'));
  assert.ok(verifySignature(signer.spki, identifier(row), Buffer.from('x'), signature));
  assert.equal(
    verifySignature(
      signer.spki,
      identifier(signatureAlgorithms['RSA-SHA384']),
      Buffer.from('x'),
      signature,
    ),
    false,
  );
  assert.throws(() => keySigner(privateKey, signatureAlgorithms.Ed25519), {
    code: 'ERR_KEY_SIGNATURE_ALGORITHM',
  });
  assert.throws(() => keySigner(createPublicKey(privateKey)), { code: 'ERR_KEY_PRIVATE' });
  const { privateKey: other } = generateKeyPairSync('x25519');
  assert.throws(() => keySigner(other), { code: 'ERR_KEY_UNSUPPORTED' });
});

test('RSA signature identifiers are taken with and without NULL, and SHA-1 is not', () => {
  const of = (...parts: readonly Uint8Array[]) =>
    readAlgorithmIdentifier(DerReader.over(der.sequence(...parts), 'algorithm'), 'algorithm');
  const sha256 = der.oid('1.2.840.113549.1.1.11');
  assert.equal(signatureAlgorithmOf(of(sha256)), signatureAlgorithms['RSA-SHA256']);
  assert.equal(signatureAlgorithmOf(of(sha256, der.null())), signatureAlgorithms['RSA-SHA256']);
  assert.equal(signatureAlgorithmOf(of(sha256, der.integer(1))), undefined);
  assert.equal(signatureAlgorithmOf(of(der.oid('1.2.840.113549.1.1.5'), der.null())), undefined);
  assert.equal(signatureAlgorithmOf(of(der.oid('1.2.840.10045.4.3.2'), der.null())), undefined);
  assert.equal(signatureAlgorithmOf(of(der.oid(oids.rsassaPss))), undefined);
  assert.equal(signatureAlgorithmOf(of(der.oid(oids.rsassaPss), der.sequence())), undefined);
});

const spki = (algorithm: Uint8Array, bits: Uint8Array): SubjectPublicKeyInfo =>
  parseSpki(der.sequence(algorithm, der.bitString(bits)));
const rsa = (modulus: Uint8Array, exponent: number): SubjectPublicKeyInfo =>
  spki(
    der.sequence(der.oid(oids.rsaEncryption), der.null()),
    der.sequence(der.integerOctets(modulus), der.integer(exponent)),
  );
const odd = (octets: number): Uint8Array => new Uint8Array(octets + 1).fill(0x81).fill(0, 0, 1);
const ec = (curve: string): Uint8Array => der.sequence(der.oid(oids.ecPublicKey), der.oid(curve));

test('keys that are weak, malformed or of no accepted kind are told apart', () => {
  const cases: readonly (readonly [string, SubjectPublicKeyInfo, string, boolean])[] = [
    ['RSA 1024', rsa(odd(128), 65537), 'ERR_KEY_WEAK', true],
    ['RSA 8200', rsa(odd(1025), 65537), 'ERR_KEY_WEAK', true],
    ['exponent 1', rsa(odd(256), 1), 'ERR_KEY_WEAK', true],
    ['even exponent', rsa(odd(256), 4), 'ERR_KEY_MALFORMED', false],
    ['negative modulus', rsa(odd(256).subarray(1), 3), 'ERR_KEY_MALFORMED', false],
    [
      'no NULL',
      spki(der.sequence(der.oid(oids.rsaEncryption)), rsa(odd(256), 3).bits),
      'ERR_KEY_MALFORMED',
      false,
    ],
    [
      'no RSA key',
      spki(der.sequence(der.oid(oids.rsaEncryption), der.null()), Uint8Array.of(1)),
      'ERR_KEY_MALFORMED',
      false,
    ],
    [
      'compressed point',
      spki(ec(oids.p256), new Uint8Array(33).fill(2)),
      'ERR_KEY_MALFORMED',
      false,
    ],
    [
      'another curve',
      spki(ec('1.3.132.0.10'), new Uint8Array(65).fill(4)),
      'ERR_KEY_UNSUPPORTED',
      false,
    ],
    [
      'short Ed25519',
      spki(der.sequence(der.oid(oids.ed25519)), new Uint8Array(31)),
      'ERR_KEY_MALFORMED',
      false,
    ],
    [
      'Ed25519 with NULL',
      spki(der.sequence(der.oid(oids.ed25519), der.null()), new Uint8Array(32)),
      'ERR_KEY_MALFORMED',
      false,
    ],
    ['X25519', spkiOf(generateKeyPairSync('x25519').publicKey), 'ERR_KEY_UNSUPPORTED', false],
  ];
  for (const [what, key, code, hasKind] of cases) {
    const verdict = judgeKey(key);
    assert.equal(verdict.ok ? 'ok' : verdict.code, code, what);
    assert.equal(keyKindOf(key) !== undefined, hasKind, what);
  }
  assert.deepEqual(judgeKey(rsa(odd(256), 3)), { ok: true, kind: { type: 'RSA', bits: 2048 } });
  assert.throws(() => publicKeyOf(rsa(odd(1025), 65537)), { code: 'ERR_KEY_WEAK' });
  const offCurve = spki(ec(oids.p256), new Uint8Array(65).fill(4));
  assert.throws(() => publicKeyOf(offCurve), { code: 'ERR_KEY_MALFORMED' });
  assert.equal(
    verifySignature(offCurve, identifier(signatureAlgorithms['ECDSA-SHA256']), odd(1), odd(1)),
    false,
  );
});

test('a weak RSA key is refused where keys are made', async () => {
  await assert.rejects(generateKeyPair({ type: 'RSA', bits: 1024 }), { code: 'ERR_KEY_WEAK' });
  await assert.rejects(generateKeyPair({ type: 'RSA', bits: Number.NaN }), {
    code: 'ERR_KEY_WEAK',
  });
});

test('neither errors nor printed signers show anything of a private key', async () => {
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  const pem = encodePrivateKey(privateKey);
  const lines = pem.split('\n').slice(1, -2);
  const holder = { signer: keySigner(privateKey) };
  const jwk = privateKey.export({ format: 'jwk' });
  for (const printed of [
    inspect(holder, { depth: 9, showHidden: true }),
    JSON.stringify(holder),
    String(holder.signer),
  ]) {
    assert.ok(!printed.includes(jwk.d ?? '?') && !lines.some((line) => printed.includes(line)));
  }
  assert.match(inspect(holder), /\[signer ECDSA-SHA256\]/);

  const [first = '', ...others] = lines;
  const broken: readonly (readonly [string, string])[] = [
    [pem.replace(first, first.slice(4)), 'ERR_KEY_PRIVATE'],
    [pem.replace(first, `${first}!`), 'ERR_PEM_MALFORMED'],
    [pem.replace('-----END', '----END'), 'ERR_PEM_MALFORMED'],
    [pem + pem, 'ERR_KEY_PRIVATE'],
    [pem.replaceAll('PRIVATE KEY', 'DSA PRIVATE KEY'), 'ERR_KEY_PRIVATE'],
    [pem.replaceAll('PRIVATE KEY', 'ENCRYPTED PRIVATE KEY'), 'ERR_KEY_ENCRYPTED'],
    [pem.replaceAll('PRIVATE KEY', 'CERTIFICATE'), 'ERR_KEY_PRIVATE'],
    [lines.join('\n'), 'ERR_PEM_NONE'],
  ];
  for (const [text, code] of broken) {
    assert.throws(
      () => decodePrivateKey(text),
      (thrown: Error & { code?: string }) => {
        assert.equal(thrown.code, code, text.slice(0, 40));
        const shown = inspect(thrown, { depth: 9 });
        assert.ok(![first, ...others].some((line) => shown.includes(line.slice(0, 20))), shown);
        return true;
      },
    );
  }
});

test('traditional and encrypted private keys are read too', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const sec1 = privateKey.export({ format: 'pem', type: 'sec1' });
  assert.ok(decodePrivateKey(sec1).equals(privateKey));
  const sealed = privateKey.export({
    format: 'pem',
    type: 'pkcs8',
    cipher: 'aes-256-cbc',
    passphrase: 'open',
  });
  assert.ok(decodePrivateKey(sealed, 'open').equals(privateKey));
  assert.throws(() => decodePrivateKey(sealed, 'shut'), { code: 'ERR_KEY_PRIVATE' });
  assert.throws(() => decodePrivateKey(sealed), { code: 'ERR_KEY_ENCRYPTED' });
  const dsa = generateKeyPairSync('x25519').privateKey.export({ format: 'pem', type: 'pkcs8' });
  assert.throws(() => decodePrivateKey(dsa), { code: 'ERR_KEY_UNSUPPORTED' });
});
