import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Mutations, testCa } from '@countersign/testkit';
import type { Certificate } from '../certificate.ts';
import type { Crl } from '../crl.ts';
import type { DistributionPoint, ReasonFlag } from '../extension.ts';
import { extension } from '../extension-builders.ts';
import type { GeneralName } from '../general-name.ts';
import { buildName } from '../name.ts';
import { at, judge, listBy, scopeOf } from './crl-world.suite.ts';
import { validatePath } from './validate-path.ts';

const root = testCa({ at });
const issuing = root.intermediate();
const ofRoot = await listBy(root);
const path = { intermediates: [issuing.certificate], anchors: [root.root] };

function leafAt(...points: Partial<DistributionPoint>[]): Certificate {
  return leafWith(points.length === 0 ? {} : withPoints(points));
}

function leafWith(mutations: Mutations): Certificate {
  return issuing.leaf(mutations).certificate;
}

const withPoints = (points: readonly Partial<DistributionPoint>[]): Mutations => ({
  extensions: [extension.crlDistributionPoints(points)],
});

const verdict = (leaf: Certificate, ...crls: Crl[]): string =>
  judge({ ...path, leaf, crls: [ofRoot, ...crls] });

const uri = (value: string): GeneralName => ({ kind: 'uri', value });
const directory = (...names: string[]): GeneralName => ({
  kind: 'directory',
  name: buildName([
    { type: 'CN', value: 'test intermediate 1' },
    ...names.map((value) => ({ type: 'OU' as const, value })),
  ]),
});
const relative = (name: string) =>
  buildName([{ type: 'OU', value: name }]).rdns[0] ?? assert.fail('no name');

test('PKITS 4.14: a point of a list and one of a certificate meet in any of their names', async () => {
  const two = scopeOf({ fullName: [uri('http://a.example/1'), directory('one')] });
  const one = await listBy(issuing, { scope: two });
  const revoked = leafAt({ fullName: [directory('one')] });
  assert.equal(verdict(leafAt({ fullName: [directory('one')] }), one), 'ok');
  assert.equal(verdict(leafAt({ fullName: [uri('http://a.example/1')] }), one), 'ok');
  assert.equal(
    verdict(
      leafAt({ fullName: [uri('http://a.example/2')] }, { fullName: [directory('ONE')] }),
      one,
    ),
    'ok',
  );
  assert.equal(verdict(leafAt({ fullName: [directory('two')] }), one), 'ERR_CRL_MISSING');
  assert.equal(verdict(leafAt(), one), 'ERR_CRL_MISSING');
  const listing = await listBy(issuing, { scope: two, revoked: [revoked] });
  assert.equal(verdict(revoked, listing), 'ERR_CERT_REVOKED');
});

test('PKITS 4.14: a relative name continues the name of the issuer', async () => {
  const part = await listBy(issuing, { scope: scopeOf({ relativeName: relative('one') }) });
  assert.equal(verdict(leafAt({ relativeName: relative('one') }), part), 'ok');
  assert.equal(verdict(leafAt({ fullName: [directory('one')] }), part), 'ok');
  assert.equal(verdict(leafAt({ relativeName: relative('two') }), part), 'ERR_CRL_MISSING');
  const named = await listBy(issuing, { scope: scopeOf({ fullName: [directory('one')] }) });
  assert.equal(verdict(leafAt({ relativeName: relative('one') }), named), 'ok');
});

test('PKITS 4.14.10: a list without a scope is about every certificate of its issuer', async () => {
  const whole = await listBy(issuing);
  assert.equal(verdict(leafAt({ fullName: [uri('http://a.example/1')] }), whole), 'ok');
  assert.equal(verdict(leafAt(), whole), 'ok');
});

test('a list under the issuer’s own name is about every certificate of the issuer', async () => {
  const own = await listBy(issuing, { scope: scopeOf({ fullName: [directory()] }) });
  assert.equal(verdict(leafAt({ fullName: [uri('http://a.example/1')] }), own), 'ok');
  assert.equal(verdict(leafAt(), own), 'ok');
});

test('PKITS 4.14: lists of one kind of certificates leave out the others', async () => {
  const users = await listBy(issuing, { scope: scopeOf({ onlyContainsUserCerts: true }) });
  const cas = await listBy(issuing, { scope: scopeOf({ onlyContainsCaCerts: true }) });
  const attributes = scopeOf({ onlyContainsAttributeCerts: true });
  const others = await listBy(issuing, { scope: attributes });
  const leaf = leafAt();
  const { certificate: ca } = issuing.intermediate();
  assert.equal(verdict(leaf, users), 'ok');
  assert.equal(verdict(leaf, cas), 'ERR_CRL_MISSING');
  assert.equal(verdict(ca, users), 'ERR_CRL_MISSING');
  assert.equal(verdict(ca, cas), 'ok');
  assert.equal(verdict(leaf, others), 'ERR_CRL_MISSING');
  assert.equal(verdict(ca, users, cas), 'ok');
});

test('PKITS 4.14: lists of some reasons have to cover all of them together', async () => {
  const compromise: ReasonFlag[] = ['keyCompromise', 'cACompromise', 'aACompromise'];
  const rest: ReasonFlag[] = [
    'affiliationChanged',
    'superseded',
    'cessationOfOperation',
    'certificateHold',
    'privilegeWithdrawn',
  ];
  const some = (reasons: readonly ReasonFlag[], revoked: readonly Certificate[] = []) =>
    listBy(issuing, {
      scope: scopeOf({ onlySomeReasons: new Set(reasons) }),
      revoked,
      reason: reasons[0] ?? 'unspecified',
    });
  const leaf = leafAt();
  const [one, two] = [await some(compromise), await some(rest)];
  assert.equal(verdict(leaf, one, two), 'ok');
  assert.equal(verdict(leaf, one), 'ERR_CRL_MISSING');
  assert.equal(verdict(leaf, one, await some(rest.slice(1))), 'ERR_CRL_MISSING');
  assert.equal(verdict(leaf, one, await some(rest, [leaf])), 'ERR_CERT_REVOKED');
  assert.equal(verdict(leaf, await some(compromise, [leaf]), two), 'ERR_CERT_REVOKED');
  // a point of the certificate may itself be about some reasons alone
  const here = uri('http://a.example/1');
  const pointed = leafAt({ fullName: [here], reasons: new Set(compromise) });
  const atPoint = await listBy(issuing, { scope: scopeOf({ fullName: [here] }) });
  assert.equal(verdict(pointed, atPoint), 'ERR_CRL_MISSING');
  assert.equal(verdict(pointed, atPoint, two), 'ok');
});

test('a list that is unusable neither covers nor hides', async () => {
  const leaf = leafAt();
  const stale = await listBy(issuing, { nextUpdate: at - 1000 });
  const forged = await listBy(testCa({ at }), { issuer: issuing.certificate.subject });
  assert.equal(verdict(leaf, stale), 'ERR_CRL_STALE');
  assert.equal(verdict(leaf, forged), 'ERR_CRL_SIGNATURE');
  assert.equal(verdict(leaf, forged, await listBy(issuing)), 'ok');
  const listing = await listBy(issuing, { revoked: [leaf] });
  assert.equal(verdict(leaf, forged, stale, listing), 'ERR_CERT_REVOKED');
});

test('the reasons that nobody tells of are named', async () => {
  const scope = scopeOf({ onlySomeReasons: new Set(['keyCompromise', 'cACompromise']) });
  const crls = [ofRoot, await listBy(issuing, { scope })];
  const result = validatePath({ ...path, leaf: leafAt(), crls, at });
  assert.ok(!result.ok);
  assert.match(
    result.detail,
    /tells of revocation for affiliationChanged, superseded, .*aACompromise$/,
  );
});
