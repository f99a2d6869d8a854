import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testCa } from '@countersign/testkit';
import type { KeyKind } from '@countersign/x509';
import { signHop, verifyHop } from './hop-signature.ts';

const ca = testCa();
const issuer = 'spiffe://example.org/router';
const audience = 'spiffe://example.org/users';
const claims = {
  issuer,
  subject: 'spiffe://example.org/web',
  subjectFingerprint: 'ab'.repeat(32),
  audience: [audience],
  expiresAt: 1_800_000_000_000,
};
const at = claims.expiresAt - 1000;

function hop(key?: KeyKind) {
  const { certificate: leaf, privateKey } = ca.svid(issuer, key === undefined ? {} : { key });
  return { leaf, privateKey };
}

test('what a hop signs with its own key is read by whom it is for, with every kind of key', () => {
  const kinds: KeyKind[] = [
    { type: 'EC', curve: 'P-256' },
    { type: 'EC', curve: 'P-384' },
    { type: 'RSA', bits: 2048 },
    { type: 'Ed25519' },
  ];
  for (const kind of kinds) {
    const own = hop(kind);
    const verdict = verifyHop(signHop(claims, own), { leaf: own.leaf, issuer, audience, at });
    assert.deepEqual(verdict, { ok: true, claims });
  }
});

test('on another connection, for somebody else, over, changed or unsigned, it is worth nothing', () => {
  const own = hop();
  const expected = { leaf: own.leaf, issuer, audience, at };
  const text = signHop(claims, own);
  const [header = '', payload = '', signature = ''] = text.split('.');
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const forged = encode({
    ...JSON.parse(Buffer.from(payload, 'base64url').toString()),
    sub: 'spiffe://example.org/root',
  });
  const cases = [
    verifyHop(text, { ...expected, leaf: hop().leaf }),
    verifyHop(text, { ...expected, audience: 'spiffe://example.org/orders' }),
    verifyHop(text, { ...expected, issuer: 'spiffe://example.org/other' }),
    verifyHop(text, { ...expected, at: claims.expiresAt }),
    verifyHop(`${header}.${forged}.${signature}`, expected),
    verifyHop(`${encode({ alg: 'none' })}.${payload}.`, expected),
    verifyHop(`${header}.${payload}`, expected),
    verifyHop('x'.repeat(10_000), expected),
    verifyHop('', expected),
  ];
  for (const verdict of cases) assert.equal(verdict.ok ? 'ok' : verdict.code, 'ERR_HOP_SIGNATURE');
});
