import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testCa } from '@countersign/testkit';
import { der } from '../der-writer.ts';
import { encodeExtensions, extension } from '../extension-builders.ts';
import { encodeGeneralName } from '../general-name.ts';
import { oids } from '../oids.ts';
import { type RevocationReason, revocationReasons } from '../revocation-reason.ts';
import { buildOcspRequest } from './build-ocsp-request.ts';
import { buildOcspErrorResponse, buildOcspResponse, ocspResponder } from './build-ocsp-response.ts';
import { certIdOf, isCertIdOf, issuerKeyOf, issuerKeysOf, type OcspHash } from './cert-id.ts';
import { decodeOcspGetPath, encodeOcspGetPath } from './ocsp-get-path.ts';
import { type OcspCertStatus, ocspResponseStatuses } from './ocsp-response.ts';
import { parseOcspRequest } from './parse-ocsp-request.ts';
import { parseOcspResponse } from './parse-ocsp-response.ts';

const at = Date.parse('2026-05-01T12:00:00Z');
const root = testCa({ at });
const other = testCa({ at, name: 'other' });
const leaf = root.leaf().certificate;
const certId = certIdOf(leaf, root.certificate);
const hashes: readonly OcspHash[] = ['sha1', 'sha256', 'sha384', 'sha512'];

test('a request for several certificates goes both ways, with every hash and length of nonce', () => {
  const certIds = hashes.map((hash) => certIdOf(leaf, root.certificate, hash));
  for (const octets of [1, 16, 32, 128]) {
    const nonce = new Uint8Array(octets).fill(7);
    const bytes = buildOcspRequest({ certIds, nonce });
    const request = parseOcspRequest(bytes);
    assert.deepEqual(request.nonce, nonce);
    assert.deepEqual(
      request.requests.map((single) => [single.certId.hash, single.certId.serialHex]),
      hashes.map((hash) => [hash, leaf.serialHex]),
    );
    assert.ok(
      request.requests.every((single) => isCertIdOf(single.certId, leaf, root.certificate)),
    );
    assert.deepEqual(request.raw, bytes);
    assert.deepEqual([request.requestorName, request.signature], [undefined, undefined]);
  }
  assert.equal(parseOcspRequest(buildOcspRequest({ certIds })).nonce, undefined);
});

test('a CertID is of one issuer: by its name, its key and the serial number', () => {
  const second = root.leaf().certificate;
  const sameName = testCa({ at });
  for (const hash of hashes) {
    const id = certIdOf(leaf, root.certificate, hash);
    assert.equal(isCertIdOf(id, leaf, root.certificate), true);
    assert.equal(isCertIdOf(id, second, root.certificate), false);
    assert.equal(isCertIdOf(id, leaf, other.certificate), false);
    assert.equal(isCertIdOf(id, leaf, sameName.certificate), false);
    assert.ok(issuerKeysOf(root.certificate).includes(issuerKeyOf(id) ?? ''));
    assert.ok(!issuerKeysOf(sameName.certificate).includes(issuerKeyOf(id) ?? ''));
  }
  assert.equal(
    new Set([root, other, sameName].flatMap((ca) => issuerKeysOf(ca.certificate))).size,
    12,
  );
  const unknown = { ...certId, hash: undefined, hashOid: '1.2.3' };
  assert.deepEqual(
    [issuerKeyOf(unknown), isCertIdOf(unknown, leaf, root.certificate)],
    [undefined, false],
  );
});

test('a signed request is read with its requestor and its certificates', async () => {
  const name = { kind: 'directory', name: leaf.subject } as const;
  const tbs = der.sequence(
    der.explicit(1, encodeGeneralName(name)),
    der.sequence(der.sequence(certId.raw, der.explicit(0, encodeExtensions([locator])))),
    der.explicit(2, encodeExtensions([extension.other('1.2.4', true, der.null())])),
  );
  const { algorithm } = root.signer;
  const value = new Uint8Array(await root.signer.sign(tbs));
  const signature = der.sequence(
    algorithm.identifier,
    der.bitString(value),
    der.explicit(0, der.sequence(leaf.raw)),
  );
  const request = parseOcspRequest(der.sequence(tbs, der.explicit(0, signature)));
  assert.deepEqual(request.requestorName, name);
  assert.deepEqual(request.tbs, tbs);
  assert.deepEqual(request.signature?.value, value);
  assert.deepEqual(request.signature?.certificates, [leaf.raw]);
  assert.deepEqual(request.unknownCriticalExtensions, ['1.2.4', '1.2.3']);
});

const locator = extension.other('1.2.3', true, der.null());
const single = der.sequence(certId.raw);
const nonceOf = (value: Uint8Array): Uint8Array =>
  der.explicit(2, encodeExtensions([extension.other(oids.ocspNonce, false, value)]));

test('a malformed request is refused with its reason', () => {
  const list = der.sequence(single);
  const of = (...parts: readonly Uint8Array[]): Uint8Array => der.sequence(der.sequence(...parts));
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ['nothing', new Uint8Array(), 'ERR_DER_TRUNCATED'],
    ['no certificate', of(der.sequence()), 'ERR_DER_VALUE'],
    ['version 1 encoded', of(der.explicit(0, der.integer(0)), list), 'ERR_DER_DEFAULT'],
    ['version 2', of(der.explicit(0, der.integer(1)), list), 'ERR_OCSP_VERSION'],
    ['a nonce of no octet', of(list, nonceOf(der.octetString(new Uint8Array()))), 'ERR_OCSP_NONCE'],
    ['a nonce of 129', of(list, nonceOf(der.octetString(new Uint8Array(129)))), 'ERR_OCSP_NONCE'],
    ['a nonce without its string', of(list, nonceOf(der.integer(1))), 'ERR_OCSP_NONCE'],
    [
      'something behind the nonce',
      of(list, nonceOf(Buffer.concat([der.octetString(new Uint8Array(8)), der.null()]))),
      'ERR_OCSP_NONCE',
    ],
    [
      'an extension twice',
      of(list, der.explicit(2, encodeExtensions([locator, locator]))),
      'ERR_OCSP_EXTENSION',
    ],
    [
      'something behind',
      Buffer.concat([der.sequence(der.sequence(list)), der.null()]),
      'ERR_DER_TRAILING',
    ],
    [
      'a large one',
      of(der.sequence(...Array.from({ length: 300 }, () => single))),
      'ERR_DER_LIMIT',
    ],
  ];
  for (const [what, bytes, code] of cases) {
    assert.throws(() => parseOcspRequest(bytes), { code }, what);
  }
  assert.throws(() => buildOcspRequest({ certIds: [] }), RangeError);
  assert.throws(
    () => buildOcspRequest({ certIds: [certId], nonce: new Uint8Array(129) }),
    RangeError,
  );
});

test('an answer goes both ways with every status, reason and name of a responder', async () => {
  const statuses: OcspCertStatus[] = [
    { status: 'good' },
    { status: 'unknown' },
    ...(Object.keys(revocationReasons) as RevocationReason[]).map(
      (reason): OcspCertStatus => ({ status: 'revoked', at: at - 5000, reason }),
    ),
  ];
  const answers = statuses.map((status, i) => ({
    certId,
    status,
    thisUpdate: at,
    nextUpdate: i % 2 === 0 ? at + 1000 : undefined,
    archiveCutoff: i % 3 === 0 ? at - 9000 : undefined,
  }));
  const nonce = new Uint8Array(32).fill(1);
  for (const name of [undefined, root.certificate.subject]) {
    const responder = ocspResponder({ signer: root.signer, name, certificates: [leaf.raw] });
    const extensions = [extension.other('1.2.3', false, der.null())];
    const bytes = await buildOcspResponse({
      responder,
      producedAt: at,
      answers,
      nonce,
      extensions,
    });
    const { raw, status, basic } = parseOcspResponse(bytes);
    assert.deepEqual([raw, status], [bytes, 'successful']);
    assert.ok(basic);
    assert.equal(basic.responderId.kind, name === undefined ? 'key' : 'name');
    assert.equal(basic.producedAt, at);
    assert.deepEqual(basic.nonce, nonce);
    assert.deepEqual(
      basic.certificates.map((certificate) => certificate.raw),
      [leaf.raw],
    );
    assert.deepEqual(
      basic.responses.map(({ status, thisUpdate, nextUpdate, archiveCutoff }) => ({
        certId,
        status,
        thisUpdate,
        nextUpdate,
        archiveCutoff,
      })),
      answers,
    );
  }
  const nobody = { responder: ocspResponder({ signer: root.signer }), producedAt: at, answers: [] };
  await assert.rejects(buildOcspResponse(nobody), RangeError);
});

test('an answer without a response is one of five statuses', () => {
  for (const status of Object.keys(ocspResponseStatuses) as (keyof typeof ocspResponseStatuses)[]) {
    if (status === 'successful') continue;
    const bytes = buildOcspErrorResponse(status);
    assert.equal(bytes.byteLength, 5);
    assert.deepEqual(parseOcspResponse(bytes), { raw: bytes, status, basic: undefined });
  }
});

test('a malformed answer is refused with its reason', async () => {
  const { signer } = root;
  const time = der.generalizedTime(at);
  const good = der.context(0, new Uint8Array());
  const id = der.explicit(2, der.octetString(new Uint8Array(20)));
  const answer = der.sequence(certId.raw, good, time);
  const basicOf = (...parts: readonly Uint8Array[]): Uint8Array =>
    der.sequence(
      der.sequence(...parts),
      signer.algorithm.identifier,
      der.bitString(Uint8Array.of(1)),
    );
  const bytesOf = (basic: Uint8Array, type: string = oids.ocspBasic): Uint8Array =>
    der.explicit(0, der.sequence(der.oid(type), der.octetString(basic)));
  const success = der.enumerated(0);
  const of = (...parts: readonly Uint8Array[]): Uint8Array =>
    der.sequence(success, bytesOf(basicOf(...parts)));
  const whole = basicOf(id, time, der.sequence(answer));
  assert.ok(parseOcspResponse(der.sequence(success, bytesOf(whole))).basic);
  const statusOf = (status: Uint8Array): Uint8Array =>
    of(id, time, der.sequence(der.sequence(certId.raw, status, time)));
  const cutoff = extension.other(oids.ocspArchiveCutoff, false, der.integer(1));
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ['success without a response', der.sequence(success), 'ERR_OCSP_RESPONSE_BYTES'],
    [
      'an error with one',
      der.sequence(der.enumerated(3), bytesOf(whole)),
      'ERR_OCSP_RESPONSE_BYTES',
    ],
    ['status 4', der.sequence(der.enumerated(4)), 'ERR_DER_VALUE'],
    ['another type', der.sequence(success, bytesOf(whole, '1.2.3')), 'ERR_OCSP_RESPONSE_TYPE'],
    ['no answers', of(id, time, der.sequence()), 'ERR_DER_VALUE'],
    ['no responder', of(time, der.sequence(answer)), 'ERR_DER_TAG'],
    [
      'version 2',
      of(der.explicit(0, der.integer(1)), id, time, der.sequence(answer)),
      'ERR_OCSP_VERSION',
    ],
    ['a UTCTime', of(id, der.time(at), der.sequence(answer)), 'ERR_DER_TAG'],
    ['good with content', statusOf(der.context(0, Uint8Array.of(1))), 'ERR_DER_VALUE'],
    ['a fourth status', statusOf(der.context(3, new Uint8Array())), 'ERR_DER_TAG'],
    [
      'reason 7',
      statusOf(der.explicit(1, time, der.explicit(0, der.enumerated(7)))),
      'ERR_DER_VALUE',
    ],
    [
      'an archive cut-off that is no time',
      of(
        id,
        time,
        der.sequence(
          der.sequence(certId.raw, good, time, der.explicit(1, encodeExtensions([cutoff]))),
        ),
      ),
      'ERR_OCSP_EXTENSION',
    ],
    [
      'something behind',
      Buffer.concat([of(id, time, der.sequence(answer)), der.null()]),
      'ERR_DER_TRAILING',
    ],
  ];
  for (const [what, bytes, code] of cases) {
    assert.throws(() => parseOcspResponse(bytes), { code }, what);
  }
});

test('a request goes through the path of a GET, whatever is escaped', () => {
  for (let length = 60; length < 70; length += 1) {
    const bytes = new Uint8Array(length).fill(0xff);
    const path = encodeOcspGetPath(bytes);
    assert.match(path, /^[A-Za-z0-9%]+$/);
    assert.deepEqual(decodeOcspGetPath(path), bytes);
    assert.deepEqual(decodeOcspGetPath(decodeURIComponent(path)), bytes);
  }
  for (const wrong of ['', '%', 'a', 'a b=', 'MA', '%zz', '../x'.repeat(100)]) {
    assert.throws(() => decodeOcspGetPath(wrong), { code: 'ERR_OCSP_GET_PATH' }, wrong);
  }
});
