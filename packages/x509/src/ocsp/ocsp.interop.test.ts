import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { toHex } from '@countersign/base';
import { type TestCredential, testCa } from '@countersign/testkit';
import { extension } from '../extension-builders.ts';
import { buildOcspRequest } from './build-ocsp-request.ts';
import { buildOcspResponse, ocspResponder } from './build-ocsp-response.ts';
import { certIdOf, isCertIdOf, type OcspHash } from './cert-id.ts';
import { checkOcspResponse } from './check-ocsp-response.ts';
import type { OcspCertStatus } from './ocsp-response.ts';
import { parseOcspRequest } from './parse-ocsp-request.ts';
import { parseOcspResponse } from './parse-ocsp-response.ts';

const folder = mkdtempSync(join(tmpdir(), 'ocsp-interop-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'no openssl';

const at = Math.floor(performance.timeOrigin / 1000) * 1000;
const root = testCa({ at });
const issuing = root.intermediate();
const leaf = issuing.leaf().certificate;
const revokedLeaf = issuing.leaf().certificate;
const delegate = issuing.leaf({
  keyUsage: ['digitalSignature'],
  extKeyUsage: ['OCSPSigning'],
  extensions: [extension.ocspNoCheck()],
});

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

function openssl(...args: readonly string[]): string {
  const { stdout, stderr } = spawnSync('openssl', ['ocsp', ...args], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  return `${stdout}${stderr}`;
}

const files = {
  root: file('root.pem', root.certificatePem),
  issuer: file('issuer.pem', issuing.certificatePem),
  leaf: file('leaf.pem', pemOf(leaf.raw)),
  revoked: file('revoked.pem', pemOf(revokedLeaf.raw)),
};

function pemOf(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString('base64').replace(/.{64}/g, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;
}

const responders: Readonly<Record<string, TestCredential>> = { issuer: issuing, delegate };

for (const hash of ['sha1', 'sha256'] satisfies OcspHash[]) {
  test(`we read the ${hash} request of openssl`, { skip }, () => {
    const out = join(folder, `req-${hash}.der`);
    const both = [`-${hash}`, '-cert', files.leaf, '-cert', files.revoked];
    openssl('-issuer', files.issuer, ...both, '-reqout', out);
    const request = parseOcspRequest(readFileSync(out));
    assert.deepEqual(
      request.requests.map(({ certId }) => certId.serialHex),
      [leaf.serialHex, revokedLeaf.serialHex],
    );
    const [first] = request.requests;
    assert.ok(first && isCertIdOf(first.certId, leaf, issuing.certificate));
    assert.equal(first.certId.hash, hash);
    assert.equal(request.nonce?.byteLength, 16);
  });

  test(`openssl reads our ${hash} request`, { skip }, () => {
    const nonce = new Uint8Array(32).fill(0xab);
    const certIds = [leaf, revokedLeaf].map((one) => certIdOf(one, issuing.certificate, hash));
    const path = file(`ours-${hash}.der`, buildOcspRequest({ certIds, nonce }));
    const text = openssl('-reqin', path, '-req_text', '-noverify');
    for (const part of [leaf.serialHex, revokedLeaf.serialHex, toHex(nonce), hash]) {
      assert.ok(text.toLowerCase().includes(part), `${part} not in ${text}`);
    }
  });
}

const statuses: Readonly<Record<string, OcspCertStatus>> = {
  good: { status: 'good' },
  revoked: { status: 'revoked', at: at - 60_000, reason: 'keyCompromise' },
  unknown: { status: 'unknown' },
};

for (const [who, { signer, certificate }] of Object.entries(responders)) {
  test(`openssl believes the answers of our ${who}`, { skip }, async () => {
    for (const [word, status] of Object.entries(statuses)) {
      for (const hash of ['sha1', 'sha256'] satisfies OcspHash[]) {
        for (const name of [undefined, certificate.subject]) {
          const certId = certIdOf(leaf, issuing.certificate, hash);
          const nonce = new Uint8Array(32).fill(9);
          const request = file('q.der', buildOcspRequest({ certIds: [certId], nonce }));
          const certificates = who === 'issuer' ? [] : [certificate.raw];
          const response = await buildOcspResponse({
            responder: ocspResponder({ signer, name, certificates }),
            producedAt: at,
            answers: [{ certId, status, thisUpdate: at - 1000, nextUpdate: at + 3_600_000 }],
            nonce,
          });
          const trust = ['-CAfile', files.root, '-verify_other', files.issuer];
          const given = ['-respin', file('a.der', response), ...trust];
          // beside a certificate it would ask for that one too, with a nonce of its own
          const proved = openssl(...given, '-reqin', request);
          assert.equal(proved.trim(), 'Response verify OK');
          const about = ['-issuer', files.issuer, `-${hash}`, '-cert', files.leaf, '-no_nonce'];
          const text = openssl(...given, ...about);
          assert.match(text, /Response verify OK/);
          assert.ok(text.includes(`: ${word}\n`), text);
          assert.doesNotMatch(text, /WARNING|error/i);
          assert.equal(text.includes('Reason: keyCompromise'), word === 'revoked', text);
        }
      }
    }
  });

  test(`we believe the answers of openssl’s responder, signing as our ${who}`, { skip }, () => {
    const time = (ms: number): string =>
      new Date(ms).toISOString().slice(2, 19).replace(/[-:T]/g, '');
    const row = (state: string, serial: string, revoked = ''): string =>
      `${state}\t${time(at + 86_400_000)}Z\t${revoked}\t${serial.toUpperCase()}\tunknown\t/CN=x\n`;
    const index = file(
      'index.txt',
      row('V', leaf.serialHex) +
        row('R', revokedLeaf.serialHex, `${time(at - 60_000)}Z,superseded`),
    );
    file('index.txt.attr', 'unique_subject = no\n');
    const strange = issuing.leaf().certificate;
    const cases = [
      [leaf, 'good'],
      [revokedLeaf, 'revoked'],
      [strange, 'unknown'],
    ] as const;
    for (const [one, expected] of cases) {
      const nonce = new Uint8Array(32).fill(3);
      const certIds = [certIdOf(one, issuing.certificate, 'sha256')];
      const request = file('theirs-q.der', buildOcspRequest({ certIds, nonce }));
      const out = join(folder, 'theirs.der');
      const credential = responders[who];
      assert.ok(credential);
      const text = openssl(
        ...['-index', index, '-CA', files.issuer, '-reqin', request, '-respout', out],
        ...['-rsigner', file('signer.pem', credential.certificatePem)],
        ...['-rkey', file('signer-key.pem', credential.keyPem), '-ndays', '1'],
      );
      const given = checkOcspResponse(parseOcspResponse(readFileSync(out)), {
        certificate: one,
        issuer: issuing.certificate,
        at: at + 1000,
        nonce,
      });
      assert.ok(given.ok, `${text} ${JSON.stringify(given)}`);
      assert.equal(given.status, expected);
      if (given.status === 'revoked') assert.equal(given.reason, 'superseded');
      assert.equal(
        given.delegate?.serialHex,
        who === 'issuer' ? undefined : delegate.certificate.serialHex,
      );
    }
  });
}
