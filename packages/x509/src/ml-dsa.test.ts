import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import tls from 'node:tls';
import { messageOf } from '@countersign/base';
import { type TestCa, type TestCredential, testCa } from '@countersign/testkit';
import { readAlgorithmIdentifier } from './algorithm-identifier.ts';
import { buildCertificateRequest } from './build-certificate-request.ts';
import { DerReader } from './der-reader.ts';
import { der } from './der-writer.ts';
import { extension } from './extension-builders.ts';
import { formatKeyKind, judgeKey, type KeyKind } from './key-kind.ts';
import { buildName } from './name.ts';
import { buildOcspResponse, ocspResponder } from './ocsp/build-ocsp-response.ts';
import { certIdOf } from './ocsp/cert-id.ts';
import { checkOcspResponse } from './ocsp/check-ocsp-response.ts';
import { parseOcspResponse } from './ocsp/parse-ocsp-response.ts';
import { certificateRequestFromPem, verifyPossession } from './parse-certificate-request.ts';
import { validatePath } from './path/validate-path.ts';
import { encodePem } from './pem.ts';
import { decodePrivateKey, encodePrivateKey, generateKeyPair } from './private-key.ts';
import { keySigner, verifySignature } from './signer.ts';
import { parseSpki, spkiOf } from './spki.ts';

/** RFC 9881 §2 and FIPS 204, table 2. */
const sets = [
  { set: 44, oid: '2.16.840.1.101.3.4.3.17', publicOctets: 1312, signatureOctets: 2420 },
  { set: 65, oid: '2.16.840.1.101.3.4.3.18', publicOctets: 1952, signatureOctets: 3309 },
  { set: 87, oid: '2.16.840.1.101.3.4.3.19', publicOctets: 2592, signatureOctets: 4627 },
] as const;

const skip: false | string = await generateKeyPair({ type: 'ML-DSA', set: 44 }).then(
  () => false as const,
  messageOf,
);
const at = Math.floor(performance.timeOrigin / 1000) * 1000;

for (const { set, oid, publicOctets, signatureOctets } of sets) {
  const key: KeyKind = { type: 'ML-DSA', set };
  const name = formatKeyKind(key);

  test(`an ${name} key signs, verifies, and survives PKCS #8, sealed or not`, {
    skip,
  }, async () => {
    const { privateKey, publicKey } = await generateKeyPair(key);
    const spki = spkiOf(publicKey);
    assert.deepEqual(judgeKey(spki), { ok: true, kind: key });
    assert.deepEqual([spki.algorithm.oid, spki.algorithm.parameters], [oid, undefined]);
    assert.equal(spki.bits.byteLength, publicOctets);
    const pem = encodePrivateKey(privateKey);
    assert.ok(decodePrivateKey(pem).equals(privateKey));
    const sealed = privateKey.export({
      format: 'pem',
      type: 'pkcs8',
      cipher: 'aes-256-cbc',
      passphrase: 'open',
    });
    assert.ok(decodePrivateKey(String(sealed), 'open').equals(privateKey));

    const signer = keySigner(privateKey);
    assert.equal(signer.algorithm.name, name);
    const algorithm = readAlgorithmIdentifier(
      DerReader.over(signer.algorithm.identifier, 'algorithm'),
      'algorithm',
    );
    assert.deepEqual([algorithm.oid, algorithm.parameters], [oid, undefined]);
    const data = new Uint8Array(100).fill(7);
    const signature = await signer.sign(data);
    assert.equal(signature.byteLength, signatureOctets);
    assert.ok(verifySignature(spki, algorithm, data, signature));
    for (const at of [0, 50, 99]) {
      const changed = data.with(at, 8);
      assert.equal(verifySignature(spki, algorithm, changed, signature), false);
    }
    for (const wrong of [signature.subarray(1), Buffer.concat([signature, Uint8Array.of(0)])]) {
      assert.equal(verifySignature(spki, algorithm, data, wrong), false);
    }
    const withNull = { ...algorithm, raw: der.sequence(der.oid(oid), der.null()) };
    assert.equal(verifySignature(spki, withNull, data, signature), false);
  });

  test(`an ${name} key of another form is malformed`, { skip }, async () => {
    const { bits } = spkiOf((await generateKeyPair(key)).publicKey);
    const of = (algorithm: Uint8Array, content: Uint8Array): string => {
      const verdict = judgeKey(parseSpki(der.sequence(algorithm, der.bitString(content))));
      return verdict.ok ? 'ok' : verdict.code;
    };
    const plain = der.sequence(der.oid(oid));
    assert.equal(of(plain, bits), 'ok');
    assert.equal(of(der.sequence(der.oid(oid), der.null()), bits), 'ERR_KEY_MALFORMED');
    assert.equal(of(plain, bits.subarray(1)), 'ERR_KEY_MALFORMED');
  });

  test(`possession of an ${name} key is proved by its request`, { skip }, async () => {
    const signer = keySigner((await generateKeyPair(key)).privateKey);
    const subject = buildName([{ type: 'CN', value: 'a' }]);
    const extensions = [extension.subjectAltName([{ kind: 'dns', value: 'a.example' }])];
    const bytes = await buildCertificateRequest({ signer, subject, extensions });
    const request = certificateRequestFromPem(encodePem('CERTIFICATE REQUEST', bytes));
    assert.ok(verifyPossession(request));
    assert.equal(request.spki.algorithm.oid, oid);
    assert.equal(verifyPossession({ ...request, tbs: request.tbs.with(9, 9) }), false);
  });

  test(`a chain of ${name} certificates is valid to us and to OpenSSL`, { skip }, async () => {
    const { root, issuing, leaf } = hierarchy(key);
    const chain = [leaf.certificate, issuing.certificate, root.certificate];
    assert.ok(chain.every(({ signatureAlgorithm }) => signatureAlgorithm.oid === oid));
    for (const [i, { raw }] of chain.entries()) {
      const above = new X509Certificate((chain[i + 1] ?? root.certificate).raw);
      assert.ok(new X509Certificate(raw).verify(above.publicKey));
    }
    const verdict = (end = leaf.certificate) =>
      validatePath({
        leaf: end,
        intermediates: [issuing.certificate],
        anchors: [root.certificate],
        at,
        purpose: 'server',
        names: [{ dns: 'a.example' }],
      });
    const found = verdict();
    assert.ok(found.ok, JSON.stringify(found));
    assert.equal(found.chain.length, 3);
    const forged = issuing.leaf({ key, dns: ['a.example'], brokenSignature: true });
    const refused = verdict(forged.certificate);
    assert.equal(refused.ok ? 'ok' : refused.code, 'ERR_PATH_SIGNATURE');
  });

  test(`lists and answers signed with ${name} are believed`, { skip }, async () => {
    const { root, issuing, leaf } = hierarchy(key);
    const crls = [await issuing.crl([leaf.certificate]), await root.crl([])];
    const verdict = validatePath({
      leaf: leaf.certificate,
      intermediates: [issuing.certificate],
      anchors: [root.certificate],
      at,
      crls,
    });
    assert.equal(verdict.ok ? 'ok' : verdict.code, 'ERR_CERT_REVOKED');
    const delegate = issuing.leaf({ key, extKeyUsage: ['OCSPSigning'] });
    const response = await buildOcspResponse({
      responder: ocspResponder({
        signer: delegate.signer,
        certificates: [delegate.certificate.raw],
      }),
      producedAt: at,
      answers: [
        {
          certId: certIdOf(leaf.certificate, issuing.certificate),
          status: { status: 'good' },
          thisUpdate: at,
          nextUpdate: at + 1000,
        },
      ],
    });
    const answer = checkOcspResponse(parseOcspResponse(response), {
      certificate: leaf.certificate,
      issuer: issuing.certificate,
      at,
    });
    assert.equal(answer.ok ? answer.status : answer.code, 'good');
  });

  test(`a TLS 1.3 handshake takes ${name} certificates on both sides`, {
    skip,
  }, async () => {
    const { root, issuing, leaf } = hierarchy(key);
    const client = issuing.leaf({ key, dns: ['client.example'] });
    const outcome = await handshake(root, leaf, client, {});
    assert.equal(outcome, 'TLSv1.3 a.example client.example');
    const stranger = testCa({ at, key }).leaf({ key, dns: ['client.example'] });
    assert.match(await handshake(root, leaf, stranger, {}), /refused/);
    // ML-DSA has no code point before TLS 1.3
    assert.match(await handshake(root, leaf, client, { maxVersion: 'TLSv1.2' }), /refused/);
  });
}

test('an ML-DSA authority certifies ECDSA and Ed25519 keys, and the other way round', {
  skip,
}, () => {
  const kinds: readonly KeyKind[] = [
    { type: 'ML-DSA', set: 65 },
    { type: 'EC', curve: 'P-256' },
    { type: 'Ed25519' },
  ];
  for (const above of kinds) {
    for (const below of kinds) {
      const root = testCa({ at, key: above });
      const issuing = root.intermediate({ key: below });
      const found = validatePath({
        leaf: issuing.leaf({ key: above }).certificate,
        intermediates: [issuing.certificate],
        anchors: [root.certificate],
        at,
      });
      assert.ok(found.ok, JSON.stringify(found));
    }
  }
});

interface Hierarchy {
  readonly root: TestCa;
  readonly issuing: TestCa;
  readonly leaf: TestCredential;
}

function hierarchy(key: KeyKind): Hierarchy {
  const root = testCa({ at, key });
  const issuing = root.intermediate({ key });
  return { root, issuing, leaf: issuing.leaf({ key, dns: ['a.example'] }) };
}

/** What both sides saw of each other: version, the server's name, the client's name; or why there was none. */
async function handshake(
  root: TestCa,
  server: TestCredential,
  client: TestCredential,
  options: { readonly maxVersion?: tls.SecureVersion },
): Promise<string> {
  const listener = tls.createServer({
    cert: server.chainPem,
    key: server.keyPem,
    ca: [root.rootPem],
    requestCert: true,
  });
  listener.on('secureConnection', (socket) =>
    socket.end(String(socket.getPeerCertificate().subject.CN)),
  );
  let refused = '';
  listener.on('tlsClientError', (error) => {
    refused = error.message;
  });
  listener.listen(0, '127.0.0.1');
  try {
    await once(listener, 'listening');
    const socket = tls.connect({
      ...options,
      port: (listener.address() as AddressInfo).port,
      host: '127.0.0.1',
      servername: 'a.example',
      ca: [root.rootPem],
      cert: client.chainPem,
      key: client.keyPem,
      timeout: 5000,
    });
    socket.setEncoding('utf8');
    await once(socket, 'secureConnect');
    const version = socket.getProtocol();
    const { subject } = socket.getPeerCertificate();
    let said = '';
    for await (const text of socket) said += text;
    return said === '' ? `refused: ${refused}` : `${version} ${subject.CN} ${said}`;
  } catch (thrown) {
    return `refused: ${refused || messageOf(thrown)}`;
  } finally {
    listener.close();
  }
}
