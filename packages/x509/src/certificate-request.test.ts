import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assembleCertificate } from './build-certificate.ts';
import { buildCertificateRequest } from './build-certificate-request.ts';
import { der } from './der-writer.ts';
import { encodeExtensions, extension } from './extension-builders.ts';
import { buildName, formatName } from './name.ts';
import { oids } from './oids.ts';
import {
  certificateRequestFromPem,
  parseCertificateRequest,
  verifyPossession,
} from './parse-certificate-request.ts';
import { encodePem } from './pem.ts';
import { generateKeyPair } from './private-key.ts';
import { keySigner } from './signer.ts';

const signer = keySigner((await generateKeyPair({ type: 'EC', curve: 'P-256' })).privateKey);
const other = keySigner((await generateKeyPair({ type: 'EC', curve: 'P-256' })).privateKey);
const subject = buildName([{ type: 'CN', value: 'a' }]);
const names = extension.subjectAltName([{ kind: 'dns', value: 'a.example' }]);

async function raw(...parts: readonly Uint8Array[]): Promise<Uint8Array> {
  const tbs = der.sequence(...parts);
  return assembleCertificate(tbs, signer.algorithm, await signer.sign(tbs));
}

const attribute = (oid: string, ...values: readonly Uint8Array[]): Uint8Array =>
  der.sequence(der.oid(oid), der.setOf(...values));
const withAttributes = (...attributes: readonly Uint8Array[]): Promise<Uint8Array> =>
  raw(der.integer(0), subject.raw, signer.spki.raw, der.contextSetOf(0, ...attributes));

test('a request carries names and extensions, and proves possession', async () => {
  const bytes = await buildCertificateRequest({
    signer,
    subject,
    extensions: [names, extension.keyUsage(['digitalSignature'])],
  });
  const request = parseCertificateRequest(bytes);
  assert.equal(formatName(request.subject), 'CN=a');
  assert.deepEqual(request.subjectAltNames, [{ kind: 'dns', value: 'a.example' }]);
  assert.deepEqual([...(request.keyUsage ?? [])], ['digitalSignature']);
  assert.deepEqual(request.raw, bytes);
  assert.ok(verifyPossession(request));
  assert.deepEqual(certificateRequestFromPem(encodePem('CERTIFICATE REQUEST', bytes)).raw, bytes);
  const bare = parseCertificateRequest(await buildCertificateRequest({ signer }));
  assert.deepEqual([bare.extensions, bare.subjectAltNames, bare.subject.rdns], [[], [], []]);
});

test('a request for the key of somebody else proves nothing', async () => {
  const tbs = der.sequence(der.integer(0), subject.raw, other.spki.raw, der.contextSetOf(0));
  const request = parseCertificateRequest(
    assembleCertificate(tbs, signer.algorithm, await signer.sign(tbs)),
  );
  assert.equal(verifyPossession(request), false);
});

test('a challenge password is read, and attributes that nobody knows are passed over', async () => {
  const request = parseCertificateRequest(
    await withAttributes(
      attribute(oids.challengePassword, der.printable('open')),
      attribute('1.3.6.1.4.1.311.13.2.3', der.ia5('10.0')),
      attribute(oids.extensionRequest, encodeExtensions([names])),
    ),
  );
  assert.equal(request.challengePassword, 'open');
  assert.equal(request.subjectAltNames.length, 1);
});

test('a malformed request is refused with its reason', async () => {
  const asked = encodeExtensions([names]);
  const cases: readonly (readonly [string, Promise<Uint8Array>, string])[] = [
    [
      'version 1',
      raw(der.integer(1), subject.raw, signer.spki.raw, der.contextSetOf(0)),
      'ERR_CSR_VERSION',
    ],
    ['no attributes field', raw(der.integer(0), subject.raw, signer.spki.raw), 'ERR_DER_TRUNCATED'],
    [
      'extensions twice in two attributes',
      withAttributes(
        attribute(oids.extensionRequest, asked),
        attribute(oids.extensionRequest, asked),
      ),
      'ERR_CSR_ATTRIBUTE',
    ],
    [
      'extensions twice in one attribute',
      withAttributes(attribute(oids.extensionRequest, asked, asked)),
      'ERR_CSR_ATTRIBUTE',
    ],
    ['an attribute without value', withAttributes(attribute('1.2.3')), 'ERR_CSR_ATTRIBUTE'],
    [
      'a name twice',
      withAttributes(attribute(oids.extensionRequest, encodeExtensions([names, names]))),
      'ERR_CSR_EXTENSION',
    ],
    [
      'a malformed extension',
      withAttributes(
        attribute(
          oids.extensionRequest,
          encodeExtensions([extension.other(oids.keyUsage, false, der.null())]),
        ),
      ),
      'ERR_CSR_EXTENSION',
    ],
    [
      'a password that is no text',
      withAttributes(attribute(oids.challengePassword, der.integer(1))),
      'ERR_CSR_ATTRIBUTE',
    ],
    [
      'a huge request',
      withAttributes(attribute('1.2.3', der.octetString(new Uint8Array(70_000)))),
      'ERR_DER_LIMIT',
    ],
  ];
  for (const [what, bytes, code] of cases) {
    await assert.rejects(async () => parseCertificateRequest(await bytes), { code }, what);
  }
  const pem = encodePem('CERTIFICATE REQUEST', await buildCertificateRequest({ signer }));
  assert.throws(() => certificateRequestFromPem(pem + pem), { code: 'ERR_PEM_MALFORMED' });
});
