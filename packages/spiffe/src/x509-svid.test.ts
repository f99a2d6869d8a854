import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { testCa } from '@countersign/testkit';
import { encodePem, encodePrivateKey } from '@countersign/x509';
import { certificatesFrom } from './certificate-series.ts';
import { staticBundles } from './sources.ts';
import { leafSpiffeId, wrongWithIntermediate } from './svid-rules.ts';
import { makeBundle } from './trust-bundle.ts';
import { verifyPeer } from './verified-peer.ts';
import { makeSvid, parseSvid, X509Svid } from './x509-svid.ts';

const root = testCa();
const ca = root.intermediate();
const vectors = new URL('../../../../shared/vectors/spiffe-x509/svid/x509/', import.meta.url);
const skip = existsSync(vectors) ? false : '../shared/vectors/spiffe-x509 is absent';

function webSvid(): X509Svid {
  const { chain, privateKey } = ca.svid('spiffe://example.com/ns/prod/sa/web');
  return makeSvid(chain, privateKey);
}

function vector(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(name, vectors)));
}

test('foreign vectors: good SVIDs parse with their key, concatenated DER', { skip }, () => {
  const good = [
    ['1-svid-chain.der', '1-key.der', 'spiffe://example.org/service'],
    ['svid-with-dns.der', 'svid-with-dns-key.der', 'spiffe://example.org/service'],
    ['expired-svid-chain.der', 'expired-key.der', 'spiffe://example.org/service'],
    [
      'empty-subject-name.der',
      'empty-subject-name-key.der',
      'spiffe://example.org/test-empty-subject',
    ],
  ] as const;
  for (const [chain, key, id] of good) {
    const svid = parseSvid(vector(chain), vector(key));
    assert.equal(svid.spiffeId.toString(), id, chain);
  }
});

test('foreign vectors: an expired SVID parses, and verification refuses it', { skip }, () => {
  const chain = certificatesFrom(vector('expired-svid-chain.der'));
  const bundles = staticBundles(makeBundle('example.org', chain.slice(-1)));
  const result = verifyPeer({ chain, bundles, at: Date.UTC(2026, 0, 1), purpose: 'client' });
  assert.equal(result.ok ? 'ok' : result.code, 'ERR_PEER_EXPIRED');
});

test('foreign vectors: each wrong-* is refused at parse for the rule in its name', { skip }, () => {
  const wrong = [
    ['wrong-leaf-ca-true.der', 'ERR_SVID_CA'],
    ['wrong-leaf-cert-sign.der', 'ERR_SVID_KEY_USAGE'],
    ['wrong-leaf-crl-sign.der', 'ERR_SVID_KEY_USAGE'],
    ['wrong-leaf-no-digital-signature.der', 'ERR_SVID_KEY_USAGE'],
    ['wrong-leaf-empty-id.der', 'ERR_SVID_URI'],
    ['wrong-intermediate-no-ca.der', 'ERR_SVID_SIGNER'],
    ['wrong-intermediate-no-key-cert-sign.der', 'ERR_SVID_SIGNER'],
  ] as const;
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  for (const [name, code] of wrong) {
    const chain = certificatesFrom(vector(name));
    assert.throws(() => makeSvid(chain, privateKey), { code }, name);
    const [leaf, ...signers] = chain;
    const byRules = signers.map(wrongWithIntermediate).find((found) => found !== undefined);
    const rule = byRules ?? leafSpiffeId(leaf!);
    assert.equal('code' in rule && rule.code, code, name);
  }
});

test('foreign vectors: corrupted input and a foreign key are refused', { skip }, () => {
  assert.throws(() => parseSvid(vector('corrupted'), vector('1-key.der')), {
    code: 'ERR_BUNDLE_SYNTAX',
  });
  assert.throws(() => parseSvid(vector('1-svid-chain.der'), vector('corrupted')), {
    code: 'ERR_SVID_KEY',
  });
  assert.throws(() => parseSvid(vector('1-svid-chain.der'), vector('svid-with-dns-key.der')), {
    code: 'ERR_SVID_KEY',
    message: /does not belong to certificate/,
  });
});

test('an SVID is read from PEM, its root left out', () => {
  const { certificate, privateKey } = ca.svid('spiffe://example.com/a');
  const chain = [certificate, ca.certificate, root.root];
  const pem = chain.map(({ raw }) => encodePem('CERTIFICATE', raw)).join('');
  const svid = parseSvid(pem, encodePrivateKey(privateKey));
  assert.deepEqual(
    svid.chain.map(({ serialHex }) => serialHex),
    [certificate.serialHex, ca.certificate.serialHex],
  );
  assert.equal(svid.notAfter, certificate.notAfter);
});

test('an empty chain, a public key and a chain with the CA first are refused', () => {
  const { certificate, privateKey } = ca.svid('spiffe://example.com/a');
  assert.throws(() => makeSvid([], privateKey), { code: 'ERR_SVID_EMPTY' });
  assert.throws(() => parseSvid(new Uint8Array(), new Uint8Array()), { code: 'ERR_SVID_EMPTY' });
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  assert.throws(() => makeSvid([certificate], publicKey), { code: 'ERR_SVID_KEY' });
  assert.throws(() => makeSvid([ca.certificate, certificate], privateKey), {
    code: 'ERR_SVID_URI',
  });
});

test('no way of printing an SVID, or of failing to read one, shows its private key', () => {
  const svid = webSvid();
  const jwk = svid.privateKey.export({ format: 'jwk' });
  const pem = encodePrivateKey(svid.privateKey);
  const secrets = [
    String(jwk.d),
    Buffer.from(String(jwk.d), 'base64url').toString('hex'),
    pem.split('\n')[1] ?? '',
    'PRIVATE KEY',
  ];
  const printed = [
    String(svid),
    JSON.stringify(svid),
    JSON.stringify({ deep: [svid] }),
    inspect(svid, { depth: Infinity, showHidden: true, getters: true }),
    inspect({ deep: [svid] }, { depth: Infinity, showHidden: true }),
    inspect(Object.entries(svid), { depth: Infinity, showHidden: true }),
    `${Object.getOwnPropertyNames(svid)}`,
  ];
  for (const broken of [pem.replace('MIG', 'mig'), pem.slice(0, -40), `${pem.slice(0, 60)}\n`]) {
    assert.throws(
      () => parseSvid(encodePem('CERTIFICATE', svid.leaf.raw), broken),
      (thrown: Error) => printed.push(inspect(thrown, { depth: Infinity, showHidden: true })) > 0,
    );
  }
  for (const text of printed) {
    for (const secret of secrets) assert.ok(!text.includes(secret), text);
  }
  assert.match(JSON.stringify(svid), /"spiffeId":"spiffe:\/\/example\.com\/ns\/prod\/sa\/web"/);
});

test('an SVID cannot be made without its checks', () => {
  const svid = webSvid();
  assert.throws(
    () => new X509Svid(Symbol() as never, svid.spiffeId, svid.chain, svid.privateKey),
    TypeError,
  );
});
