import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testCa } from '@countersign/testkit';
import { buildCrl } from '../build-crl.ts';
import type { Certificate } from '../certificate.ts';
import type { Crl } from '../crl.ts';
import type { Extension } from '../extension.ts';
import { extension } from '../extension-builders.ts';
import { parseCrl } from '../parse-crl.ts';
import { validatePath } from './validate-path.ts';

const at = Date.parse('2026-05-01T12:00:00Z');
const root = testCa({ at });
const issuing = root.intermediate();
const other = testCa({ at, name: 'other' });
const leaf = issuing.leaf({ crlUris: ['http://crl.example/1'] }).certificate;
/** Says of the intermediate that it is not revoked. */
const ofRoot = await root.crl([]);

function verdict(crls: readonly Crl[], subject: Certificate = leaf): string {
  const result = validatePath({
    leaf: subject,
    intermediates: [issuing.certificate],
    anchors: [root.root],
    at,
    crls: [ofRoot, ...crls],
  });
  return result.ok ? 'ok' : result.code;
}

async function listWith(...extensions: Extension[]): Promise<Crl> {
  const bytes = await buildCrl({
    signer: issuing.signer,
    issuer: issuing.certificate.subject,
    thisUpdate: at - 1000,
    nextUpdate: at + 1000,
    crlNumber: 2n,
    entries: [{ serialHex: leaf.serialHex, date: at }],
    extensions,
  });
  return parseCrl(bytes);
}

test('a certificate on its issuer’s list is revoked, with the reason', async () => {
  const crl = await issuing.crl([leaf], { reason: 'keyCompromise' });
  const result = validatePath({
    leaf,
    intermediates: [issuing.certificate],
    anchors: [root.root],
    at,
    crls: [crl],
  });
  assert.ok(!result.ok);
  assert.equal(result.code, 'ERR_CERT_REVOKED');
  assert.match(result.detail, /list of "CN=test intermediate 1" since .*, reason keyCompromise/);
});

test('a revoked intermediate ends the path, and another way up is taken', async () => {
  const crl = await root.crl([issuing.certificate]);
  const ofIssuing = await issuing.crl([]);
  assert.equal(verdict([crl, ofIssuing]), 'ERR_CERT_REVOKED');
  const again = root.intermediate({
    subject: [{ type: 'CN', value: 'test intermediate 1' }],
    key: issuing.privateKey,
  });
  const intermediates = [issuing.certificate, again.certificate];
  const result = validatePath({
    leaf,
    intermediates,
    anchors: [root.root],
    at,
    crls: [crl, ofIssuing],
  });
  assert.ok(result.ok);
  assert.equal(result.chain[1], again.certificate);
});

test('every certificate but the anchor needs a list, once any is given', async () => {
  const ofIssuing = await issuing.crl([]);
  assert.equal(verdict([ofIssuing]), 'ok');
  assert.equal(verdict([]), 'ERR_CRL_MISSING');
  assert.equal(verdict([await other.crl([leaf]), await root.crl([leaf])]), 'ERR_CRL_MISSING');
  const path = { leaf, intermediates: [issuing.certificate], anchors: [root.root], at };
  assert.ok(validatePath(path).ok);
  assert.ok(!validatePath({ ...path, crls: [] }).ok);
  const ofLeafAlone = validatePath({ ...path, crls: [ofIssuing] });
  assert.ok(!ofLeafAlone.ok);
  assert.deepEqual([ofLeafAlone.code, ofLeafAlone.depth], ['ERR_CRL_MISSING', 1]);
  assert.equal(
    ofLeafAlone.detail,
    'certificate "CN=test intermediate 1", issued by "CN=test root", may be revoked: ' +
      'no revocation list that was given is about it',
  );
  assert.ok(validatePath({ ...path, leaf: root.root, crls: [ofIssuing] }).ok);
});

test('a list that is stale or from the future refuses, unless a fresh one speaks', async () => {
  const stale = await issuing.crl([], { thisUpdate: at - 5000, nextUpdate: at - 1000 });
  const future = await issuing.crl([], { thisUpdate: at + 1000 });
  assert.equal(verdict([stale]), 'ERR_CRL_STALE');
  assert.equal(verdict([future]), 'ERR_CRL_STALE');
  assert.equal(verdict([stale, future, await issuing.crl([])]), 'ok');
  assert.equal(verdict([await issuing.crl([]), await issuing.crl([leaf])]), 'ERR_CERT_REVOKED');
});

test('a list under the issuer’s name by another key refuses', async () => {
  const forged = await testCa({
    at,
    name: 'x',
    subject: [{ type: 'CN', value: 'test intermediate 1' }],
  }).crl([]);
  assert.equal(verdict([forged]), 'ERR_CRL_SIGNATURE');
});

test('an issuer whose key usage lacks cRLSign signs no lists', async () => {
  const mute = root.intermediate({ keyUsage: ['keyCertSign'] });
  const { certificate } = mute.leaf();
  const crls = [await mute.crl([]), ofRoot];
  const result = validatePath({
    leaf: certificate,
    intermediates: [mute.certificate],
    anchors: [root.root],
    at,
    crls,
  });
  assert.equal(result.ok ? 'ok' : result.code, 'ERR_CRL_ISSUER');
});

test('a list with an unknown critical extension is refused by name', async () => {
  const unknown = extension.other('1.2.3.4', true, Uint8Array.of(5, 0));
  assert.equal(verdict([await listWith(unknown)]), 'ERR_CRL_UNSUPPORTED');
});

test('a list speaks for the certificates in its scope alone', async () => {
  const point = extension.issuingDistributionPoint;
  assert.equal(
    verdict([await listWith(point({ onlyContainsUserCerts: true }))]),
    'ERR_CERT_REVOKED',
  );
  assert.equal(verdict([await listWith(point({ onlyContainsCaCerts: true }))]), 'ERR_CRL_MISSING');
  assert.equal(
    verdict([await listWith(point({ uris: ['http://crl.example/1'] }))]),
    'ERR_CERT_REVOKED',
  );
  assert.equal(
    verdict([await listWith(point({ uris: ['http://crl.example/2'] }))]),
    'ERR_CRL_MISSING',
  );
});
