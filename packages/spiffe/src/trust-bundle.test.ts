import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CountersignError, concatBytes } from '@countersign/base';
import { testCa } from '@countersign/testkit';
import { encodePem } from '@countersign/x509';
import fc from 'fast-check';
import { formatBundleDocument, parseBundleDocument } from './bundle-document.ts';
import { staticBundles } from './sources.ts';
import { makeBundle, parseBundle, sameAuthorities } from './trust-bundle.ts';

const { root } = testCa();
const other = testCa().root;
const bundleOfRoot = makeBundle('example.com', [root]);
const vectors = new URL('../../../../shared/vectors/spiffe-x509/bundle/x509/', import.meta.url);
const skip = existsSync(vectors) ? false : '../shared/vectors/spiffe-x509 is absent';
const authority = JSON.parse(formatBundleDocument(bundleOfRoot)).keys[0];

function vector(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(name, vectors)));
}

function documentOf(...keys: unknown[]): string {
  return JSON.stringify({ keys });
}

test('foreign vectors: a bundle of concatenated DER is its certificates', { skip }, () => {
  const bundle = parseBundle(vector('bundle.der'), 'example.org');
  assert.deepEqual(
    bundle.authorities.map(({ raw }) => Buffer.from(raw)),
    [Buffer.from(vector('cert1.der')), Buffer.from(vector('cert2.der'))],
  );
  assert.throws(() => parseBundle(vector('corrupted'), 'example.org'), {
    code: 'ERR_BUNDLE_SYNTAX',
  });
});

test('every cut and every appended byte of a DER bundle is refused', () => {
  const der = concatBytes(root.raw, other.raw);
  const whole = root.raw.byteLength;
  for (let length = 0; length < der.byteLength; length += 1) {
    if (length === whole) continue;
    assert.throws(() => parseBundle(der.subarray(0, length), 'example.com'), {
      name: 'CountersignError',
    });
  }
  assert.throws(() => parseBundle(concatBytes(der, Uint8Array.of(0)), 'example.com'), {
    code: 'ERR_BUNDLE_SYNTAX',
  });
});

test('a bundle is read from PEM, doubles dropped; none at all is refused', () => {
  const pem = encodePem('CERTIFICATE', root.raw);
  assert.equal(parseBundle(pem + pem, 'spiffe://example.com').authorities.length, 1);
  assert.throws(() => makeBundle('example.com', []), { code: 'ERR_BUNDLE_EMPTY' });
  assert.throws(() => makeBundle('Example.com', [root]), {
    code: 'ERR_SPIFFE_TRUST_DOMAIN',
  });
});

test('two bundles of one trust domain are refused, authorities compare in any order', () => {
  assert.throws(() => staticBundles(bundleOfRoot, bundleOfRoot), { code: 'ERR_BUNDLE_DUPLICATE' });
  const ab = makeBundle('example.com', [root, other]);
  const ba = makeBundle('example.com', [other, root]);
  assert.ok(sameAuthorities(ab, ba));
  assert.ok(!sameAuthorities(ab, bundleOfRoot) && !sameAuthorities(bundleOfRoot, ab));
});

test('a bundle document comes back as it was written, for every kind of key', () => {
  const roots = [
    testCa({ key: { type: 'EC', curve: 'P-384' } }).root,
    testCa({ key: { type: 'RSA', bits: 2048 } }).root,
    testCa({ key: { type: 'RSA-PSS', bits: 2048 } }).root,
    testCa({ key: { type: 'Ed25519' } }).root,
    testCa({ key: { type: 'ML-DSA', set: 44 } }).root,
  ];
  const jwk = { kty: authority.kty, crv: authority.crv, x: authority.x, y: authority.y };
  const bundle = {
    ...makeBundle('example.com', [root, ...roots]),
    sequence: 12,
    refreshHintSeconds: 300,
    jwtKeys: [{ ...jwk, kid: 'one', alg: 'ES256' }],
  };
  const text = formatBundleDocument(bundle);
  const read = parseBundleDocument(text, 'example.com');
  assert.deepEqual(
    { ...read, authorities: read.authorities.map(({ serialHex }) => serialHex) },
    { ...bundle, authorities: bundle.authorities.map(({ serialHex }) => serialHex) },
  );
  assert.equal(formatBundleDocument(read), text);
  const { keys } = JSON.parse(text);
  for (const key of keys.slice(0, 6)) {
    assert.equal(key.use, 'x509-svid');
    assert.equal(key.x5c.length, 1);
    assert.ok(!('kid' in key), 'X509-SVID §6.1: no kid');
  }
});

test('what a document has beyond our knowledge is ignored, as the standard says', () => {
  const unknown = [
    { ...authority, use: 'wit-svid' },
    { ...authority, use: 'X509-SVID' },
    { kty: 'XYZ', use: 'x509-svid', pub: 'AAAA', x5c: ['!'] },
    { kty: 'toString', use: 'x509-svid' },
    { use: 'x509-svid' },
    { ...authority, x5c: [] },
    { ...authority, x5c: undefined },
  ];
  const text = JSON.stringify({ keys: [...unknown, authority], spiffe_future: true });
  const bundle = parseBundleDocument(text, 'example.com');
  assert.equal(bundle.authorities.length, 1);
  assert.equal(bundle.sequence, undefined);
  assert.equal(parseBundleDocument('{"keys":[]}', 'example.com').authorities.length, 0);
});

test('of several certificates in one entry only the first counts', () => {
  const entry = { ...authority, x5c: [authority.x5c[0], 'garbage'] };
  const [only, ...rest] = parseBundleDocument(documentOf(entry), 'example.com').authorities;
  assert.equal(only?.serialHex, root.serialHex);
  assert.equal(rest.length, 0);
});

const jwtKey = { ...authority, use: 'jwt-svid', kid: 'k', x5c: undefined };
const foreign = JSON.parse(formatBundleDocument(makeBundle('a', [other]))).keys[0];
const refused: readonly (readonly [string, string, string])[] = [
  ['no JSON', '{', 'ERR_BUNDLE_SYNTAX'],
  ['a list', '[]', 'ERR_BUNDLE_SYNTAX'],
  ['null', 'null', 'ERR_BUNDLE_SYNTAX'],
  ['no keys', '{}', 'ERR_BUNDLE_SYNTAX'],
  ['keys that are a map', '{"keys":{}}', 'ERR_BUNDLE_SYNTAX'],
  ['a key that is a text', documentOf('a'), 'ERR_BUNDLE_SYNTAX'],
  ['a fractional sequence', '{"keys":[],"spiffe_sequence":1.5}', 'ERR_BUNDLE_SYNTAX'],
  ['a huge sequence', '{"keys":[],"spiffe_sequence":9007199254740993}', 'ERR_BUNDLE_SYNTAX'],
  ['a negative hint', '{"keys":[],"spiffe_refresh_hint":-1}', 'ERR_BUNDLE_SYNTAX'],
  ['a hint as text', '{"keys":[],"spiffe_refresh_hint":"5m"}', 'ERR_BUNDLE_SYNTAX'],
  ['x5c that is a text', documentOf({ ...authority, x5c: authority.x5c[0] }), 'ERR_BUNDLE_KEY'],
  ['x5c in base64url', documentOf({ ...authority, x5c: ['__8'] }), 'ERR_BUNDLE_KEY'],
  ['x5c that is no certificate', documentOf({ ...authority, x5c: ['MAA='] }), 'ERR_BUNDLE_KEY'],
  ['the key of another', documentOf({ ...foreign, x5c: authority.x5c }), 'ERR_BUNDLE_KEY'],
  ['a missing coordinate', documentOf({ ...authority, y: undefined }), 'ERR_BUNDLE_KEY'],
  ['a private key', documentOf({ ...authority, d: 'AAAA' }), 'ERR_BUNDLE_KEY'],
  ['a jwt key without kid', documentOf({ ...jwtKey, kid: undefined }), 'ERR_BUNDLE_KEY'],
  ['two jwt keys of one kid', documentOf(jwtKey, jwtKey), 'ERR_BUNDLE_KEY'],
  ['a jwt key off its curve', documentOf({ ...jwtKey, x: jwtKey.y }), 'ERR_BUNDLE_KEY'],
  ['257 keys', documentOf(...Array(257).fill({ kty: 'EC' })), 'ERR_BUNDLE_LIMIT'],
  ['over 1 MiB', `{"keys":[],"a":"${'x'.repeat(1024 * 1024)}"}`, 'ERR_BUNDLE_LIMIT'],
];

for (const [what, text, code] of refused) {
  test(`a bundle document with ${what} is refused with ${code}`, () => {
    assert.throws(() => parseBundleDocument(text, 'example.com'), { code });
  });
}

test('whatever JSON a stranger sends gives a bundle or an error with a code', () => {
  const entry = fc.record(
    {
      kty: fc.constantFrom('EC', 'RSA', 'OKP', 'oct', '__proto__', 7),
      use: fc.constantFrom('x509-svid', 'jwt-svid', 'other', null),
      kid: fc.constantFrom('a', '', 1),
      crv: fc.constantFrom('P-256', 'Ed25519', 'x', {}),
      x: fc.constantFrom(authority.x, '', '!', 3),
      y: fc.constantFrom(authority.y, 'AAAA'),
      x5c: fc.oneof(fc.constant(authority.x5c), fc.array(fc.base64String()), fc.jsonValue()),
    },
    { requiredKeys: [] },
  );
  const document = fc.record({
    keys: fc.array(fc.oneof(entry, fc.jsonValue()), { maxLength: 4 }),
    spiffe_sequence: fc.oneof(fc.nat(), fc.jsonValue()),
  });
  fc.assert(
    fc.property(fc.oneof(document, fc.jsonValue()), (value) => {
      try {
        const bundle = parseBundleDocument(JSON.stringify(value), 'example.com');
        parseBundleDocument(formatBundleDocument(bundle), 'example.com');
      } catch (thrown) {
        assert.ok(thrown instanceof CountersignError, String(thrown));
      }
    }),
    { numRuns: 500 },
  );
});
