import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { type Mutations, testCa } from '@countersign/testkit';
import { type Certificate, SignatureCache } from '@countersign/x509';
import { type BundleSource, staticBundles } from './sources.ts';
import { makeBundle } from './trust-bundle.ts';
import { type PeerVerification, VerifiedPeer, verifyPeer } from './verified-peer.ts';

const testTime = Date.UTC(2026, 0, 1);
const root = testCa({ at: testTime, uri: ['spiffe://example.com'] });
const ca = root.intermediate();
const bundle = makeBundle('example.com', [root.root]);
const bundles = staticBundles(bundle);

/** What a peer of that name presents. */
function chainOf(path: string, mutations: Mutations = {}): readonly Certificate[] {
  return ca.svid(path.startsWith('/') ? `spiffe://example.com${path}` : path, mutations).chain;
}

function verify(chain: readonly Certificate[], changes: Partial<PeerVerification> = {}) {
  return verifyPeer({ chain, bundles, at: testTime, purpose: 'client', ...changes });
}

function refusal(chain: readonly Certificate[], changes: Partial<PeerVerification> = {}) {
  const result = verify(chain, changes);
  assert.ok(!result.ok, 'the peer was let in');
  return result;
}

test('a good chain gives a verified peer with everything that others ask about', () => {
  const chain = chainOf('/ns/prod/sa/web', { dns: ['web.prod.internal'] });
  for (const purpose of ['client', 'server'] as const) {
    const result = verify(chain, { purpose });
    assert.ok(result.ok, JSON.stringify(result));
    const { peer } = result;
    assert.equal(peer.spiffeId?.toString(), 'spiffe://example.com/ns/prod/sa/web');
    assert.equal(peer.chain.length, 3);
    assert.equal(peer.leaf, chain[0]);
    assert.equal(peer.chain.at(-1), root.root);
    assert.match(peer.fingerprint, /^[0-9a-f]{64}$/);
    assert.notEqual(peer.fingerprint, peer.anchorFingerprint);
    assert.deepEqual(
      peer.names.map((name) => name.kind),
      ['dns', 'uri'],
    );
    assert.equal(peer.notAfter, chain[0]?.notAfter);
    assert.ok(VerifiedPeer.is(peer) && peer.isVerifiedPeer());
  }
});

test('the order of intermediates, a sent root and doubles do not matter', () => {
  const [leaf, intermediate] = chainOf('/web') as [Certificate, Certificate];
  assert.ok(verify([leaf, root.root, intermediate, intermediate]).ok);
  assert.equal(refusal([leaf]).code, 'ERR_PEER_UNTRUSTED');
});

test('signatures that were verified before are remembered where the asker wants that', () => {
  const signatures = new SignatureCache();
  const chain = chainOf('/web');
  assert.ok(verify(chain, { signatures }).ok);
  assert.ok(signatures.size > 0);
  assert.ok(verify(chain, { signatures }).ok);
});

const brokenLeaves: readonly (readonly [string, Mutations, string, RegExp])[] = [
  ['no URI name', { uri: [], dns: ['a.example'] }, 'ERR_SVID_URI', /has 0 URI names, exactly 1/],
  [
    'two URI names',
    { uri: ['spiffe://example.com/a', 'https://example.com/'] },
    'ERR_SVID_URI',
    /has 2 URI names/,
  ],
  ['another scheme', { uri: ['https://example.com/a'] }, 'ERR_SVID_ID', /does not begin with/],
  ['a malformed ID', { uri: ['spiffe://example.com/a/../b'] }, 'ERR_SVID_ID', /path segment/],
  ['an ID without path', { uri: ['spiffe://example.com'] }, 'ERR_SVID_ID', /has no path/],
  ['the CA flag', { isCa: true, keyUsage: ['digitalSignature'] }, 'ERR_SVID_CA', /CA flag/],
  ['no key usage', { keyUsage: null }, 'ERR_SVID_KEY_USAGE', /has key usage none/],
  ['no digitalSignature', { keyUsage: ['keyAgreement'] }, 'ERR_SVID_KEY_USAGE', /keyAgreement/],
  ['keyCertSign', { keyUsage: ['digitalSignature', 'keyCertSign'] }, 'ERR_SVID_KEY_USAGE', /./],
  ['cRLSign', { keyUsage: ['digitalSignature', 'cRLSign'] }, 'ERR_SVID_KEY_USAGE', /./],
  [
    'another trust domain',
    { uri: ['spiffe://other.org/a'] },
    'ERR_PEER_TRUST_DOMAIN',
    /trust domain "other\.org", for which there is no bundle/,
  ],
  ['an end in the past', { notAfter: testTime - 1000 }, 'ERR_PEER_EXPIRED', /2025-12-31T23:59:59/],
  ['a start in the future', { notBefore: testTime + 1000 }, 'ERR_PEER_NOT_YET_VALID', /00:00:01/],
  ['another purpose', { extKeyUsage: ['serverAuth'] }, 'ERR_CERT_PURPOSE', /./],
];

for (const [what, spec, code, detail] of brokenLeaves) {
  test(`a leaf with ${what} is refused with ${code}`, () => {
    const refused = refusal(chainOf('/a', spec));
    assert.equal(refused.code, code, refused.detail);
    assert.match(refused.detail, detail);
  });
}

test('whatever a stranger puts into a certificate, its refusal stays short enough for a log', () => {
  const many = (of: (i: number) => string) => Array.from({ length: 2000 }, (_, i) => of(i));
  const large: Mutations[] = [
    { serial: new Uint8Array(20_000).fill(0x5a) },
    { serial: new Uint8Array(20_000).fill(0x5a), uri: [], dns: ['a.example'] },
    { serial: new Uint8Array(20_000).fill(0x5a), notAfter: testTime - 1000 },
    { uri: many((i) => `spiffe://example.com/${i}`) },
    { uri: [`spiffe://example.com/${'a'.repeat(20_000)}`] },
    { extKeyUsage: many((i) => `1.3.6.1.4.1.${i}`) },
    { subject: [{ type: 'O', value: 'a'.repeat(64) }], dns: many((i) => `${i}.example`), uri: [] },
  ];
  for (const mutations of large) {
    const refused = refusal(chainOf('/a', mutations));
    const { length } = JSON.stringify(refused);
    assert.ok(length < 4000, `${refused.code}: ${length} characters`);
  }
});

test('the last second of validity is still valid, the next is not', () => {
  const chain = chainOf('/a', { notAfter: testTime });
  assert.ok(verify(chain, { at: testTime + 999 }).ok);
  assert.equal(refusal(chain, { at: testTime + 1000 }).code, 'ERR_PEER_EXPIRED');
});

test('an authority vouches for its own trust domain and for no other', () => {
  const other = testCa({ at: testTime, name: 'other root' });
  const both = staticBundles(bundle, makeBundle('other.org', [other.root]));
  const forged = other.svid('spiffe://example.com/ns/prod/sa/web').chain;
  assert.equal(refusal(forged, { bundles: both }).code, 'ERR_PEER_UNTRUSTED');
  assert.ok(verify(other.svid('spiffe://other.org/ns/prod/sa/web').chain, { bundles: both }).ok);
});

test('a source that answers with the bundle of another trust domain is not believed', () => {
  const lying: BundleSource = { bundle: () => bundle };
  const chain = chainOf('spiffe://other.org/a');
  assert.equal(refusal(chain, { bundles: lying }).code, 'ERR_PEER_TRUST_DOMAIN');
});

test('signing certificates follow the rules too', () => {
  const cases: readonly (readonly [Mutations, string])[] = [
    [{ isCa: false, keyUsage: ['keyCertSign'] }, 'ERR_CERT_NOT_CA'],
    [{ keyUsage: ['cRLSign'] }, 'ERR_CERT_KEY_USAGE'],
    [{ uri: ['spiffe://example.com/intermediate'] }, 'ERR_SVID_ID'],
    [{ uri: ['SPIFFE://example.com'] }, 'ERR_SVID_ID'],
  ];
  for (const [spec, code] of cases) {
    const { chain } = root.intermediate(spec).svid('spiffe://example.com/a');
    assert.equal(refusal(chain).code, code, JSON.stringify(spec));
  }
  const named = root.intermediate({ uri: ['spiffe://example.com'] });
  assert.ok(verify(named.svid('spiffe://example.com/a').chain).ok);
});

test('a leaf that somebody put into the bundle does not vouch for itself', () => {
  const [leaf] = chainOf('/a') as [Certificate];
  const careless = staticBundles(makeBundle('example.com', [leaf]));
  assert.equal(refusal([leaf], { bundles: careless }).code, 'ERR_SVID_SIGNER');
});

test('a peer ends with the first certificate of its path that ends', () => {
  const brief = root.intermediate({ notAfter: testTime + 5000 });
  const result = verify(brief.svid('spiffe://example.com/a').chain);
  assert.ok(result.ok);
  assert.equal(result.peer.notAfter, testTime + 5000);
  assert.ok(!result.peer.hasEnded(testTime + 5999));
  assert.ok(result.peer.hasEnded(testTime + 6000));
});

test('a peer ends with its anchor, where that ends first', () => {
  const brief = testCa({ at: testTime, notAfter: testTime + 5000 });
  const { chain } = brief.svid('spiffe://example.com/a', { notAfter: testTime + 60_000 });
  const authorities = staticBundles(makeBundle('example.com', [brief.root]));
  const result = verify(chain, { bundles: authorities });
  assert.ok(result.ok);
  const late = { bundles: authorities, at: testTime + 6000 };
  assert.equal(refusal(chain, late).code, 'ERR_PEER_EXPIRED');
  assert.ok(result.peer.hasEnded(late.at));
});

test('a peer without a certificate, or with a heap of them, is refused before any work', () => {
  assert.equal(refusal([]).code, 'ERR_PEER_NO_CERTIFICATE');
  const [leaf] = chainOf('/a') as [Certificate];
  assert.equal(refusal(Array<Certificate>(17).fill(leaf)).code, 'ERR_PEER_CHAIN');
});

test('profile any takes a certificate by other names, from the authorities of the source', () => {
  const chain = chainOf('/unused', { uri: [], dns: ['client.example'] });
  assert.equal(refusal(chain).code, 'ERR_SVID_URI');
  const result = verify(chain, { profile: 'any' });
  assert.ok(result.ok, JSON.stringify(result));
  assert.equal(result.peer.spiffeId, undefined);
  assert.deepEqual(result.peer.names, [{ kind: 'dns', value: 'client.example' }]);
  const spiffeOnly: BundleSource = { bundle: bundles.bundle };
  assert.equal(refusal(chain, { profile: 'any', bundles: spiffeOnly }).code, 'ERR_PEER_UNTRUSTED');
});

test('profile any holds a claimed SPIFFE ID to its rules and its own bundle', () => {
  const clientCa = testCa({ at: testTime, name: 'client CA' });
  const source: BundleSource = {
    bundle: bundles.bundle,
    authorities: () => [clientCa.root],
  };
  const claim = (spec: Mutations) => clientCa.leaf(spec).chain;
  const any = { profile: 'any', bundles: source } as const;
  const forged = claim({ uri: ['spiffe://example.com/ns/prod/sa/admin'] });
  assert.equal(refusal(forged, any).code, 'ERR_PEER_UNTRUSTED');
  const shouted = claim({ uri: ['SPIFFE://example.com/admin'] });
  assert.equal(refusal(shouted, any).code, 'ERR_SVID_ID');
  const second = claim({ uri: ['https://a.example/', 'spiffe://example.com/admin'] });
  assert.equal(refusal(second, any).code, 'ERR_SVID_URI');
  const good = verify(chainOf('/web'), any);
  assert.ok(good.ok && good.peer.spiffeId?.path === '/web');
  const other = verify(claim({ uri: ['https://a.example/'], dns: ['a.example'] }), any);
  assert.ok(other.ok && other.peer.spiffeId === undefined);
  assert.equal(refusal(claim({ isCa: true }), any).code, 'ERR_SVID_CA');
  assert.equal(refusal(claim({ keyUsage: ['keyAgreement'] }), any).code, 'ERR_SVID_KEY_USAGE');
});

test('a verified peer cannot be made or imitated, and prints who it is', () => {
  const result = verify(chainOf('/web'));
  assert.ok(result.ok);
  const { peer } = result;
  const again = peer.constructor as new (...rest: unknown[]) => unknown;
  assert.throws(() => new again(Symbol(), peer.spiffeId, peer.chain), TypeError);
  assert.ok(!VerifiedPeer.is({ ...peer }));
  assert.ok(!VerifiedPeer.is(Object.create(peer)));
  assert.ok(!VerifiedPeer.is(structuredClone({ spiffeId: 'spiffe://example.com/web' })));
  assert.match(inspect(peer), /^VerifiedPeer spiffe:\/\/example\.com\/web serial [0-9a-f]+$/);
  assert.match(JSON.stringify(peer), /"spiffeId":"spiffe:\/\/example\.com\/web"/);
});

test('a certificate of the wrong issuer with the right name is refused for its signature', () => {
  const forged = chainOf('/web', { signer: testCa({ at: testTime }).signer });
  assert.equal(refusal(forged).code, 'ERR_PATH_SIGNATURE');
  assert.equal(refusal(chainOf('/web', { brokenSignature: true })).code, 'ERR_PATH_SIGNATURE');
});
