import assert from 'node:assert/strict';
import { randomBytes, sign } from 'node:crypto';
import { describe, it } from 'node:test';
import { signCertificate } from '../build-certificate.ts';
import { der } from '../der-writer.ts';
import type { KeyKind } from '../key-kind.ts';
import { buildName } from '../name.ts';
import { oids } from '../oids.ts';
import { parseCertificate } from '../parse-certificate.ts';
import { generateKeyPair } from '../private-key.ts';
import { keySigner } from '../signer.ts';
import { tags } from '../tags.ts';
import { buildSignedData } from './build-signed-data.ts';
import { checkSignedData } from './check-signed-data.ts';
import { cmsOids } from './cms-oids.ts';
import { derOfBer } from './der-of-ber.ts';
import { parseSignedData } from './parse-signed-data.ts';

const content = Buffer.from('{"instanceId":"i-1"}');
const ec: KeyKind = { type: 'EC', curve: 'P-256' };

async function holder(kind: KeyKind = ec) {
  const { privateKey } = await generateKeyPair(kind);
  const signer = keySigner(privateKey);
  const subject = buildName([{ type: 'CN', value: 'signer' }]);
  const [notBefore, notAfter] = [Date.UTC(2026, 0, 1), Date.UTC(2027, 0, 1)];
  const serial = Uint8Array.of(1, ...randomBytes(8));
  const parts = { serial, issuer: subject, subject, notBefore, notAfter, spki: signer.spki };
  const raw = await signCertificate({ ...parts, extensions: [] }, signer);
  return { signer, privateKey, certificate: parseCertificate(raw) };
}

/** Every constructed element with an indefinite length, the content in pieces. */
function asBer(element: Uint8Array): Uint8Array {
  const first = element[1] ?? 0;
  const content = element.subarray(first < 0x80 ? 2 : 2 + (first & 0x7f));
  const [tag = 0] = element;
  const closed = (inner: Uint8Array) => Buffer.concat([Uint8Array.of(tag, 0x80), inner, end]);
  if (tag === tags.octetString && content.byteLength > 0 && content[0] === 0x7b) {
    const pieces = [content.subarray(0, 5), content.subarray(5)].map(der.octetString);
    return Buffer.concat([Uint8Array.of(0x24, 0x80), ...pieces, end]);
  }
  if ((tag & 0x20) === 0) return element;
  const children: Uint8Array[] = [];
  for (let at = 0; at < content.byteLength; ) {
    const octet = content[at + 1] ?? 0;
    let head = 2;
    let length = octet;
    if (octet >= 0x80) {
      head = 2 + (octet & 0x7f);
      length = content.subarray(at + 2, at + head).reduce((sum, each) => sum * 256 + each, 0);
    }
    children.push(asBer(content.subarray(at, at + head + length)));
    at += head + length;
  }
  return closed(Buffer.concat(children));
}
const end = Uint8Array.of(0, 0);

describe('signed data', () => {
  it('is verified by the certificate that it names, in DER and in BER', async () => {
    for (const kind of [ec, { type: 'RSA', bits: 2048 }] as const) {
      const { signer, certificate } = await holder(kind);
      const parts = { contentType: cmsOids.data, content, signer, chain: [certificate] as const };
      const built = await buildSignedData(parts);
      const ber = asBer(built);
      assert.notDeepEqual(Buffer.from(ber), Buffer.from(built));
      for (const bytes of [built, ber]) {
        const read = parseSignedData(bytes);
        assert.deepEqual(Buffer.from(read.content), content);
        const other = await holder();
        const verdict = checkSignedData(read, [other.certificate, certificate]);
        assert.ok(verdict.ok && verdict.signer === certificate, JSON.stringify(verdict));
        const without = checkSignedData(read, [other.certificate]);
        assert.equal(without.ok ? '' : without.code, 'ERR_CMS_SIGNER');
      }
      assert.deepEqual(derOfBer(ber, 'signed data'), built);
    }
  });

  it('without attributes is verified over its content, as Azure and old signers write it', async () => {
    const { privateKey, certificate } = await holder({ type: 'RSA', bits: 2048 });
    const written = (algorithm: string, signature: Uint8Array, type: string = cmsOids.data) => {
      const info = der.sequence(
        der.integer(1),
        der.sequence(certificate.issuer.raw, der.integerOctets(certificate.serial)),
        der.sequence(der.oid(algorithm), der.null()),
        der.sequence(der.oid(oids.rsaEncryption), der.null()),
        der.octetString(signature),
      );
      const signedData = der.sequence(
        der.integer(1),
        der.setOf(),
        der.sequence(der.oid(type), der.explicit(0, der.octetString(content))),
        der.element(tags.set, [info]),
      );
      return der.sequence(der.oid(cmsOids.signedData), der.explicit(0, signedData)).slice();
    };
    const good = sign('sha256', content, privateKey);
    const codeOf = (bytes: Uint8Array) => {
      const verdict = checkSignedData(parseSignedData(bytes), [certificate]);
      return verdict.ok ? 'ok' : verdict.code;
    };
    assert.equal(codeOf(written(oids.sha256, good)), 'ok');
    assert.equal(codeOf(written('1.2.840.113549.1.1.11', good)), 'ok');
    assert.equal(codeOf(written(oids.sha512, good)), 'ERR_CMS_SIGNATURE');
    assert.equal(
      codeOf(written(oids.sha1, sign('sha1', content, privateKey))),
      'ERR_CMS_ALGORITHM',
    );
    assert.equal(codeOf(written(oids.sha256, good, cmsOids.keyPackage)), 'ERR_CMS_DIGEST');
  });

  it('is refused when a bit of it was changed', async () => {
    const { signer, certificate } = await holder();
    const parts = { contentType: cmsOids.data, content, signer, chain: [certificate] as const };
    const built = await buildSignedData(parts);
    for (let at = 0; at < built.byteLength; at += 3) {
      const changed = Uint8Array.from(built);
      changed[at] = (changed[at] ?? 0) ^ 0x04;
      let verdict: string;
      try {
        const read = parseSignedData(changed);
        const answer = checkSignedData(read, [certificate]);
        const isSame = Buffer.compare(read.content, content) === 0;
        verdict = answer.ok && !isSame ? 'taken' : 'ok';
      } catch (thrown) {
        verdict = String((thrown as { code?: string }).code);
        assert.match(verdict, /^ERR_DER_/);
      }
      assert.notEqual(verdict, 'taken', `octet ${at}`);
    }
  });

  it('is read within limits', () => {
    const deep = Buffer.concat(Array.from({ length: 60 }, () => Uint8Array.of(0x30, 0x80)));
    const refusals: readonly (readonly [Uint8Array, string])[] = [
      [deep, 'ERR_DER_LIMIT'],
      [new Uint8Array(300 * 1024), 'ERR_DER_LIMIT'],
      [Uint8Array.of(0x30, 0x80, 0x05, 0x00), 'ERR_DER_TRUNCATED'],
      [Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff), 'ERR_DER_TRUNCATED'],
      [Uint8Array.of(0x04, 0x80, 0, 0), 'ERR_DER_LENGTH'],
      [Uint8Array.of(0x30, 0x00, 0x00), 'ERR_DER_TRAILING'],
      [Uint8Array.of(0x1f, 0x81, 0x01), 'ERR_DER_TAG'],
    ];
    for (const [bytes, code] of refusals) {
      assert.throws(() => derOfBer(bytes, 'document'), { code });
    }
  });
});
