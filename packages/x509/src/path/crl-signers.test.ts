import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Mutations, type TestCa, type TestCredential, testCa } from '@countersign/testkit';
import type { Certificate } from '../certificate.ts';
import type { Crl } from '../crl.ts';
import { extension } from '../extension-builders.ts';
import type { Name, NameAttribute } from '../name.ts';
import { at, judge, listBy, scopeOf } from './crl-world.suite.ts';

const root = testCa({ at });
const ofRoot = await listBy(root);
const subject = (value: string): { readonly subject: readonly NameAttribute[] } => ({
  subject: [{ type: 'CN', value }],
});
const listKey: Mutations = { keyUsage: ['cRLSign'], extKeyUsage: null };
const indirect = scopeOf({ indirectCrl: true });

interface Given {
  readonly others: readonly TestCredential[];
  readonly crls: readonly Crl[];
  readonly anchors?: readonly Certificate[];
}

const verdict = (
  { certificate: leaf }: TestCredential,
  { others, crls, anchors = [root.root] }: Given,
): string =>
  judge({ leaf, intermediates: others.map(({ certificate }) => certificate), anchors, crls });

/** Whose certificate says that its revocation is on the lists of `issuer`. */
const leftTo = (issuer: Name, mutations: Mutations = {}): Mutations => ({
  ...mutations,
  extensions: [
    ...(mutations.extensions ?? []),
    extension.crlDistributionPoints([{ crlIssuer: [{ kind: 'directory', name: issuer }] }]),
  ],
});

test('PKITS 4.4.19 to 4.4.21: a CA signs lists with a key of its own certificate', async () => {
  const ca = root.intermediate({ ...subject('two keys'), keyUsage: ['keyCertSign'] });
  const signer = root.leaf({ ...subject('two keys'), ...listKey });
  const leaf = ca.leaf();
  const others = [ca, signer];
  const list = await listBy(signer);
  assert.equal(verdict(leaf, { others, crls: [ofRoot, list] }), 'ok');
  assert.equal(verdict(leaf, { others: [ca], crls: [ofRoot, list] }), 'ERR_CRL_SIGNATURE');
  const revoking = await listBy(signer, { revoked: [leaf.certificate] });
  assert.equal(verdict(leaf, { others, crls: [ofRoot, revoking] }), 'ERR_CERT_REVOKED');
  const signerRevoked = await listBy(root, { revoked: [signer.certificate] });
  assert.equal(verdict(leaf, { others, crls: [signerRevoked, list] }), 'ERR_CRL_ISSUER');
});

test('a key that signs lists needs the right to, a valid certificate and the same anchor', async () => {
  const ca = root.intermediate(subject('signers'));
  const leaf = ca.leaf();
  const stranger = testCa({ at, name: 'stranger' });
  const wrong: readonly (readonly [string, TestCredential])[] = [
    ['no right', root.leaf({ ...subject('signers'), keyUsage: ['digitalSignature'] })],
    ['expired', root.leaf({ ...subject('signers'), ...listKey, notAfter: at - 1000 })],
    ['another anchor', stranger.leaf({ ...subject('signers'), ...listKey })],
    ['no anchor', testCa({ at }).leaf({ ...subject('signers'), ...listKey })],
  ];
  for (const [what, signer] of wrong) {
    const crls = [ofRoot, await listBy(signer), await listBy(stranger)];
    const anchors = [root.root, stranger.root];
    assert.equal(verdict(leaf, { others: [ca, signer], crls, anchors }), 'ERR_CRL_ISSUER', what);
  }
});

function selfIssued(ca: TestCa, mutations: Mutations = {}): TestCa {
  return ca.intermediate({ ...subject('rollover'), ...mutations });
}

test('PKITS 4.5.1, 4.5.2: the old key is certified by the new one, which signs the lists', async () => {
  const newKey = root.intermediate(subject('rollover'));
  const oldWithNew = selfIssued(newKey);
  const leaf = oldWithNew.leaf();
  const others = [newKey, oldWithNew];
  assert.equal(verdict(leaf, { others, crls: [ofRoot, await listBy(newKey)] }), 'ok');
  const revoking = await listBy(newKey, { revoked: [leaf.certificate] });
  assert.equal(verdict(leaf, { others, crls: [ofRoot, revoking] }), 'ERR_CERT_REVOKED');
  const oldRevoked = await listBy(newKey, { revoked: [oldWithNew.certificate] });
  assert.equal(verdict(leaf, { others, crls: [ofRoot, oldRevoked] }), 'ERR_CERT_REVOKED');
});

test('PKITS 4.5.3 to 4.5.5: the new key is certified by the old one, which signs the lists', async () => {
  const oldKey = root.intermediate(subject('rollover'));
  const newWithOld = selfIssued(oldKey);
  const others = [oldKey, newWithOld];
  const crls = [ofRoot, await listBy(oldKey)];
  assert.equal(verdict(newWithOld.leaf(), { others, crls }), 'ok');
  assert.equal(verdict(oldKey.leaf(), { others, crls }), 'ok');
  const leaf = newWithOld.leaf();
  const revoking = await listBy(oldKey, { revoked: [leaf.certificate] });
  assert.equal(verdict(leaf, { others, crls: [ofRoot, revoking] }), 'ERR_CERT_REVOKED');
});

test('PKITS 4.5.6 to 4.5.8: a key for lists that the CA certifies under its own name', async () => {
  const ca = root.intermediate(subject('own list key'));
  const here = [['http://a.example/list-key']];
  const signer = ca.leaf({
    ...subject('own list key'),
    ...listKey,
    extensions: [extension.crlDistributionPoints(here)],
  });
  const others = [ca, signer];
  const leaf = ca.leaf();
  const ofSigner = await listBy(ca, { scope: scopeOf({ uris: here[0] ?? [] }) });
  const list = await listBy(signer);
  assert.equal(verdict(leaf, { others, crls: [ofRoot, ofSigner, list] }), 'ok');
  // the key does not vouch for itself where its CA has not left that to it
  assert.equal(verdict(leaf, { others, crls: [ofRoot, list] }), 'ERR_CRL_ISSUER');
  const revoking = await listBy(signer, { revoked: [leaf.certificate] });
  assert.equal(verdict(leaf, { others, crls: [ofRoot, ofSigner, revoking] }), 'ERR_CERT_REVOKED');
  const itself = await listBy(signer, { revoked: [signer.certificate] });
  assert.equal(verdict(leaf, { others, crls: [ofRoot, ofSigner, itself] }), 'ERR_CRL_ISSUER');
  const notACa = testCa({ at, ...subject('own list key'), key: signer.privateKey }).leaf();
  assert.equal(verdict(notACa, { others, crls: [ofRoot, ofSigner, list] }), 'ERR_CERT_NOT_CA');
});

test('PKITS 4.14.22, 4.14.23: an indirect list of the issuer itself', async () => {
  const ca = root.intermediate();
  const leaf = ca.leaf();
  const others = [ca];
  const list = await listBy(ca, { scope: indirect });
  assert.equal(verdict(leaf, { others, crls: [ofRoot, list] }), 'ok');
  const revoking = await listBy(ca, { scope: indirect, revoked: [leaf.certificate] });
  assert.equal(verdict(leaf, { others, crls: [ofRoot, revoking] }), 'ERR_CERT_REVOKED');
});

test('PKITS 4.14.24 to 4.14.27: lists of another issuer, where the certificate names it', async () => {
  const [ca, publisher] = [root.intermediate(), root.intermediate()];
  const { subject: name } = publisher.certificate;
  const others = [ca, publisher];
  const told = ca.leaf(leftTo(name));
  const list = await listBy(publisher, { scope: indirect });
  assert.equal(verdict(told, { others, crls: [ofRoot, list] }), 'ok');
  assert.equal(verdict(ca.leaf(), { others, crls: [ofRoot, list] }), 'ERR_CRL_MISSING');
  const stranger = ca.leaf(leftTo(root.root.subject));
  assert.equal(verdict(stranger, { others, crls: [ofRoot, list] }), 'ERR_CRL_MISSING');
  const direct = await listBy(publisher);
  assert.equal(verdict(told, { others, crls: [ofRoot, direct] }), 'ERR_CRL_MISSING');
});

test('PKITS 4.14.31 to 4.14.35: an entry is about the issuer named in it or in one before', async () => {
  const [ca, publisher] = [root.intermediate(), root.intermediate()];
  const { subject: name } = publisher.certificate;
  const [first, second, free] = [1, 2, 3].map(() => ca.leaf(leftTo(name)));
  assert.ok(first && second && free);
  const own = publisher.leaf({ serial: Uint8Array.of(0x51) });
  const twin = ca.leaf(leftTo(name, { serial: Uint8Array.of(0x51) }));
  const of = (credential: TestCredential, certificateIssuer?: Name) => ({
    serialHex: credential.certificate.serialHex,
    date: at,
    certificateIssuer,
  });
  const issuer = ca.certificate.subject;
  const list = await listBy(publisher, {
    scope: indirect,
    entries: [of(own), of(first, issuer), of(second, issuer)],
  });
  const given: Given = { others: [ca, publisher], crls: [ofRoot, list] };
  assert.equal(verdict(first, given), 'ERR_CERT_REVOKED');
  assert.equal(verdict(second, given), 'ERR_CERT_REVOKED');
  assert.equal(verdict(free, given), 'ok');
  assert.equal(verdict(own, given), 'ERR_CERT_REVOKED');
  assert.equal(verdict(twin, given), 'ok');
  const both = await listBy(publisher, { scope: indirect, entries: [of(own), of(twin, issuer)] });
  assert.equal(verdict(twin, { ...given, crls: [ofRoot, both] }), 'ERR_CERT_REVOKED');
});

test('PKITS 4.14.28, 4.14.29: an issuer of lists that is no CA', async () => {
  const ca = root.intermediate();
  const publisher = ca.leaf({ ...subject('publisher'), ...listKey });
  const { subject: name } = publisher.certificate;
  const leaf = ca.leaf(leftTo(name));
  const others = [ca, publisher];
  const list = await listBy(publisher, { scope: indirect });
  const crls = [ofRoot, await listBy(ca), list];
  assert.equal(verdict(leaf, { others, crls }), 'ok');
  assert.equal(verdict(leaf, { others: [ca], crls: [ofRoot, list] }), 'ERR_CRL_SIGNATURE');
  const revoked = await listBy(ca, { revoked: [publisher.certificate] });
  assert.equal(verdict(ca.leaf(leftTo(name)), { others, crls: [ofRoot, revoked, list] }), 'ok');
  const onlyIndirect = [ofRoot, list];
  assert.equal(verdict(leaf, { others, crls: onlyIndirect }), 'ERR_CRL_ISSUER');
});

test('PKITS 4.14.30: an issuer of lists whose own revocation is left to them', async () => {
  const ca = root.intermediate();
  const name = root.leaf(subject('publisher')).certificate.subject;
  const publisher = ca.leaf(leftTo(name, { ...subject('publisher'), ...listKey }));
  const leaf = ca.leaf(leftTo(name));
  const others = [ca, publisher];
  const issuer = ca.certificate.subject;
  const entries = [
    { serialHex: publisher.certificate.serialHex, date: at, certificateIssuer: issuer },
  ];
  const list = await listBy(publisher, { scope: indirect });
  assert.equal(verdict(leaf, { others, crls: [ofRoot, list] }), 'ok');
  const itself = await listBy(publisher, { scope: indirect, entries });
  assert.equal(verdict(leaf, { others, crls: [ofRoot, itself] }), 'ERR_CRL_ISSUER');
});

test('a CA does not vouch for itself through an issuer of lists below it', async () => {
  const name = root.leaf(subject('publisher')).certificate.subject;
  const ca = root.intermediate(leftTo(name));
  const publisher = ca.leaf({ ...subject('publisher'), ...listKey });
  const given: Given = {
    others: [ca, publisher],
    crls: [await listBy(ca), await listBy(publisher, { scope: indirect })],
  };
  assert.equal(verdict(ca.leaf(), given), 'ERR_CRL_ISSUER');
});
