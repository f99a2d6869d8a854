import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { signCertificate } from '../build-certificate.ts';
import { extension, keyIdOf } from '../extension-builders.ts';
import type { KeyKind } from '../key-kind.ts';
import { buildName } from '../name.ts';
import { parseCertificate } from '../parse-certificate.ts';
import { encodePem } from '../pem.ts';
import { encodePrivateKey, generateKeyPair } from '../private-key.ts';
import { keySigner } from '../signer.ts';
import { buildCertsOnly } from './build-certs-only.ts';
import { buildEnvelopedData } from './build-enveloped-data.ts';
import { buildSignedData } from './build-signed-data.ts';
import { cmsOids } from './cms-oids.ts';

const hasOpenssl = spawnSync('openssl', ['version']).error === undefined;
const skip = hasOpenssl ? false : 'no openssl (Debian: apt-get install openssl)';

describe('CMS, as OpenSSL reads it', { skip }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-cms-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  const file = (name: string, content: Uint8Array | string): string => {
    const path = join(directory, name);
    writeFileSync(path, content);
    return path;
  };
  const openssl = (...words: string[]) =>
    execFileSync('openssl', words, { cwd: directory, stdio: ['ignore', 'pipe', 'ignore'] });

  async function holder(kind: KeyKind, name: string) {
    const { privateKey } = await generateKeyPair(kind);
    const signer = keySigner(privateKey);
    const subject = buildName([{ type: 'CN', value: name }]);
    const raw = await signCertificate(
      {
        ...{ serial: Uint8Array.of(1, randomBytes(1)[0] ?? 0), issuer: subject, subject },
        ...{ notBefore: Date.now() - 60_000, notAfter: Date.now() + 3_600_000 },
        spki: signer.spki,
        extensions: [extension.subjectKeyId(keyIdOf(signer.spki))],
      },
      signer,
    );
    const certificate = parseCertificate(raw);
    return { signer, certificate, key: file(`${name}.key`, encodePrivateKey(privateKey)) };
  }

  it('has every certificate of a certs-only message', async () => {
    const [a, b] = [
      await holder({ type: 'EC', curve: 'P-256' }, 'a'),
      await holder({ type: 'EC', curve: 'P-384' }, 'b'),
    ];
    const message = buildCertsOnly([a.certificate.raw, b.certificate.raw]);
    const path = file('certs.p7', message);
    const printed = openssl('pkcs7', '-inform', 'DER', '-in', path, '-print_certs').toString();
    assert.equal(printed.match(/BEGIN CERTIFICATE/g)?.length, 2);
    const none = file('none.p7', buildCertsOnly([]));
    openssl('pkcs7', '-inform', 'DER', '-in', none, '-print_certs');
  });

  const content = randomBytes(300);
  const decrypt = (path: string, ...by: string[]) =>
    openssl('cms', '-decrypt', '-binary', '-inform', 'DER', '-in', path, ...by);
  const kinds: readonly KeyKind[] = [
    { type: 'RSA', bits: 2048 },
    { type: 'EC', curve: 'P-256' },
    { type: 'EC', curve: 'P-521' },
  ];
  for (const kind of kinds) {
    it(`is opened by the holder of a certificate: ${JSON.stringify(kind)}`, async () => {
      const { certificate, key } = await holder(kind, `reader-${kind.type}`);
      const recipient = { certificate };
      const parts = { contentType: cmsOids.data, content, recipient, randomBytes };
      const path = file('enveloped', buildEnvelopedData(parts));
      const pem = file('reader.pem', encodePem('CERTIFICATE', certificate.raw));
      assert.deepEqual(decrypt(path, '-inkey', key, '-recip', pem), content);
    });
  }

  for (const length of [16, 32]) {
    it(`is opened by whoever has the shared key of ${length} octets`, () => {
      const sharedKey = randomBytes(length);
      const keyId = Buffer.from('meter-7');
      const recipient = { keyId, sharedKey };
      const parts = { contentType: cmsOids.data, content, recipient, randomBytes };
      const path = file('enveloped', buildEnvelopedData(parts));
      const words = [
        '-secretkey',
        sharedKey.toString('hex'),
        '-secretkeyid',
        keyId.toString('hex'),
      ];
      assert.deepEqual(decrypt(path, ...words), content);
    });
  }

  it('verifies what was signed, and not what was changed since', async () => {
    const { signer, certificate } = await holder({ type: 'EC', curve: 'P-256' }, 'signer');
    const pem = file('signer.pem', encodePem('CERTIFICATE', certificate.raw));
    const parts = { signer, chain: [certificate] as const, content };
    const verify = (message: Uint8Array) =>
      openssl(
        ...['cms', '-verify', '-binary', '-inform', 'DER', '-in', file('signed', message)],
        ...['-CAfile', pem, '-purpose', 'any'],
      );
    for (const contentType of [cmsOids.data, cmsOids.keyPackage]) {
      assert.deepEqual(verify(await buildSignedData({ ...parts, contentType })), content);
    }
    const changed = await buildSignedData({ ...parts, contentType: cmsOids.data });
    const at = Buffer.from(changed).indexOf(content);
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.throws(() => verify(changed));
  });

  it('refuses to encrypt to a key that only signs', async () => {
    const { certificate } = await holder({ type: 'Ed25519' }, 'ed');
    const recipient = { certificate };
    const parts = { contentType: cmsOids.data, content, recipient, randomBytes };
    assert.throws(() => buildEnvelopedData(parts), { code: 'ERR_KEY_UNSUPPORTED' });
  });
});
