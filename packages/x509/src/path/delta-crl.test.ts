import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testCa } from '@countersign/testkit';
import type { Certificate } from '../certificate.ts';
import type { Crl } from '../crl.ts';
import { extension } from '../extension-builders.ts';
import { at, judge, type ListOptions, listBy, scopeOf } from './crl-world.suite.ts';

const root = testCa({ at });
const issuing = root.intermediate();
const { certificate: leaf } = issuing.leaf();
const ofRoot = await listBy(root);
const complete = await listBy(issuing, { number: 5n });
const held = await listBy(issuing, { number: 5n, revoked: [leaf], reason: 'certificateHold' });
const freshest = extension.freshestCrl([['http://a.example/delta']]);

const verdict = (crls: readonly Crl[], subject: Certificate = leaf): string =>
  judge({
    leaf: subject,
    intermediates: [issuing.certificate],
    anchors: [root.root],
    crls: [ofRoot, ...crls],
  });

const delta = (options: ListOptions = {}): Promise<Crl> =>
  listBy(issuing, { number: 6n, base: 5n, ...options });

test('PKITS 4.15.1: a delta is no complete list', async () => {
  assert.equal(verdict([await delta()]), 'ERR_CRL_MISSING');
  assert.equal(verdict([await delta({ revoked: [leaf] })]), 'ERR_CRL_MISSING');
});

test('PKITS 4.15: a delta adds to its complete list, and takes away from it', async () => {
  assert.equal(verdict([complete, await delta()]), 'ok');
  assert.equal(verdict([complete, await delta({ revoked: [leaf] })]), 'ERR_CERT_REVOKED');
  assert.equal(verdict([held, await delta()]), 'ERR_CERT_REVOKED');
  const released = await delta({ revoked: [leaf], reason: 'removeFromCRL' });
  assert.equal(verdict([held, released]), 'ok');
  assert.equal(verdict([complete, released]), 'ok');
});

test('of several deltas the newest speaks', async () => {
  const released = await delta({ number: 7n, revoked: [leaf], reason: 'removeFromCRL' });
  const heldAgain = await delta({ number: 8n, revoked: [leaf], reason: 'certificateHold' });
  assert.equal(verdict([held, await delta(), released]), 'ok');
  assert.equal(verdict([held, released, heldAgain]), 'ERR_CERT_REVOKED');
});

test('PKITS 4.15.8, 4.15.9: the base of a delta is at most the complete list it adds to', async () => {
  const revoked = [leaf];
  assert.equal(verdict([complete, await delta({ base: 4n, revoked })]), 'ERR_CERT_REVOKED');
  assert.equal(verdict([complete, await delta({ base: 6n, number: 7n, revoked })]), 'ok');
  // what is not newer than the complete list is in it already
  assert.equal(verdict([complete, await delta({ base: 3n, number: 5n, revoked })]), 'ok');
});

test('a delta of another scope, issuer or key, or one that is unusable, counts for nothing', async () => {
  const revoked = [leaf];
  const scope = scopeOf({ onlyContainsUserCerts: true });
  const scoped = await listBy(issuing, { scope });
  assert.equal(verdict([scoped, await delta({ revoked })]), 'ok');
  assert.equal(verdict([complete, await delta({ revoked, scope })]), 'ok');
  assert.equal(verdict([scoped, await delta({ revoked, scope })]), 'ERR_CERT_REVOKED');
  const forged = { number: 6n, base: 5n, revoked, issuer: issuing.certificate.subject };
  assert.equal(verdict([complete, await listBy(testCa({ at }), forged)]), 'ok');
  assert.equal(verdict([complete, await delta({ revoked, nextUpdate: at - 1000 })]), 'ok');
  const unknown = [extension.other('1.2.3', true, Uint8Array.of(5, 0))];
  assert.equal(verdict([complete, await delta({ revoked, extensions: unknown })]), 'ok');
  const released = await delta({ revoked, reason: 'removeFromCRL', nextUpdate: at - 1000 });
  assert.equal(verdict([held, released]), 'ERR_CERT_REVOKED');
});

test('PKITS 4.15.10: a complete list that ended is kept up by a delta that it announces', async () => {
  const ended = { nextUpdate: at - 1000 };
  const announcing = await listBy(issuing, { ...ended, extensions: [freshest] });
  assert.equal(verdict([announcing]), 'ERR_CRL_STALE');
  assert.equal(verdict([announcing, await delta()]), 'ok');
  assert.equal(verdict([announcing, await delta({ revoked: [leaf] })]), 'ERR_CERT_REVOKED');
  assert.equal(verdict([announcing, await delta(ended)]), 'ERR_CRL_STALE');
  const silent = await listBy(issuing, ended);
  assert.equal(verdict([silent, await delta()]), 'ERR_CRL_STALE');
  const { certificate: told } = issuing.leaf({ extensions: [freshest] });
  assert.equal(verdict([silent, await delta()], told), 'ok');
});
