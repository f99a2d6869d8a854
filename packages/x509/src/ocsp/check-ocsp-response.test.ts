import assert from 'node:assert/strict';
import { test } from 'node:test';
import { denial } from '@countersign/base';
import { type Mutations, type TestCredential, testCa } from '@countersign/testkit';
import { der } from '../der-writer.ts';
import type { Extension } from '../extension.ts';
import { extension } from '../extension-builders.ts';
import type { Name } from '../name.ts';
import { oids } from '../oids.ts';
import { type Signer, verifySignature } from '../signer.ts';
import {
  buildOcspErrorResponse,
  buildOcspResponse,
  type OcspAnswer,
  ocspResponder,
} from './build-ocsp-response.ts';
import { type CertId, certIdOf } from './cert-id.ts';
import { checkOcspResponse } from './check-ocsp-response.ts';
import type { OcspQuestion } from './ocsp-question.ts';
import type { OcspResponse } from './ocsp-response.ts';
import { parseOcspResponse } from './parse-ocsp-response.ts';

const at = Date.parse('2026-05-01T12:00:00Z');
const root = testCa({ at });
const issuing = root.intermediate();
const other = testCa({ at, name: 'other' });
const leaf = issuing.leaf().certificate;
const certId = certIdOf(leaf, issuing.certificate);
const noCheck = extension.ocspNoCheck();

interface Wanted {
  readonly signer?: Signer;
  readonly name?: Name;
  readonly certificates?: readonly Uint8Array[];
  readonly answers?: readonly Partial<OcspAnswer>[];
  readonly nonce?: Uint8Array;
  readonly producedAt?: number;
  readonly extensions?: readonly Extension[];
}

async function answer(wanted: Wanted = {}): Promise<OcspResponse> {
  const { signer = issuing.signer, name, certificates = [], answers = [{}] } = wanted;
  const bytes = await buildOcspResponse({
    responder: ocspResponder({ signer, name, certificates }),
    producedAt: wanted.producedAt ?? at - 1000,
    answers: answers.map((single) => ({
      certId,
      status: { status: 'good' },
      thisUpdate: at - 1000,
      nextUpdate: at + 3_600_000,
      ...single,
    })),
    nonce: wanted.nonce,
    extensions: wanted.extensions ?? [],
  });
  return parseOcspResponse(bytes);
}

const ask = (response: OcspResponse, question: Partial<OcspQuestion> = {}) =>
  checkOcspResponse(response, { certificate: leaf, issuer: issuing.certificate, at, ...question });

function verdict(response: OcspResponse, question: Partial<OcspQuestion> = {}): string {
  const given = ask(response, question);
  return given.ok ? given.status : given.code;
}

const delegate = (mutations: Mutations = {}, ca = issuing): TestCredential =>
  ca.leaf({
    keyUsage: ['digitalSignature'],
    extKeyUsage: ['OCSPSigning'],
    extensions: [noCheck],
    ...mutations,
  });

const answerOf = ({ signer, certificate }: TestCredential, wanted: Wanted = {}) =>
  answer({ signer, certificates: [certificate.raw], ...wanted });

test('the issuer’s own answer is believed, under its name and under its key', async () => {
  assert.equal(verdict(await answer()), 'good');
  assert.equal(verdict(await answer({ name: issuing.certificate.subject })), 'good');
  const included = await answer({ certificates: [issuing.certificate.raw, root.certificate.raw] });
  assert.equal(verdict(included), 'good');
});

test('revoked comes with time and reason, unknown is an answer too', async () => {
  const status = { status: 'revoked', at: at - 9000, reason: 'keyCompromise' } as const;
  assert.deepEqual(ask(await answer({ answers: [{ status }] })), {
    ok: true,
    status: 'revoked',
    reason: 'keyCompromise',
    revokedAt: at - 9000,
    thisUpdate: at - 1000,
    nextUpdate: at + 3_600_000,
    producedAt: at - 1000,
    delegate: undefined,
  });
  assert.equal(verdict(await answer({ answers: [{ status: { status: 'unknown' } }] })), 'unknown');
});

test('an error status is no answer', () => {
  const given = ask(parseOcspResponse(buildOcspErrorResponse('tryLater')));
  assert.ok(!given.ok);
  assert.deepEqual(
    [given.code, given.fields],
    ['ERR_OCSP_RESPONSE_STATUS', { status: 'tryLater' }],
  );
});

test('an answer about another certificate is none about this one', async () => {
  const idOf = (certificate = leaf, issuer = issuing): CertId =>
    certIdOf(certificate, issuer.certificate, 'sha1');
  const of = async (...ids: readonly CertId[]) =>
    verdict(await answer({ answers: ids.map((id) => ({ certId: id })) }));
  assert.equal(await of(idOf()), 'good');
  assert.equal(await of(idOf(issuing.leaf().certificate)), 'ERR_OCSP_CERT_ID');
  assert.equal(await of(idOf(leaf, root)), 'ERR_OCSP_CERT_ID');
  assert.equal(await of(idOf(issuing.leaf().certificate), idOf()), 'good');
  assert.equal(verdict(await answer(), { issuer: other.certificate }), 'ERR_OCSP_CERT_ID');
  const revoked = { status: 'revoked', at, reason: 'unspecified' } as const;
  const contrary = await answer({ answers: [{}, { certId: idOf(), status: revoked }] });
  assert.equal(verdict(contrary), 'ERR_OCSP_CERT_ID');
});

test('a delegate that the issuer has certified for it answers in its stead', async () => {
  const credential = delegate();
  for (const name of [undefined, credential.certificate.subject]) {
    const given = ask(await answerOf(credential, name === undefined ? {} : { name }));
    assert.ok(given.ok, JSON.stringify(given));
    assert.equal(given.delegate?.serialHex, credential.certificate.serialHex);
  }
  const between = delegate({ extensions: [noCheck], key: { type: 'RSA', bits: 2048 } });
  assert.equal(verdict(await answerOf(between)), 'good');
  const critical = extension.other(oids.ocspNoCheck, true, der.null());
  assert.equal(verdict(await answerOf(delegate({ extensions: [critical] }))), 'good');
});

test('a delegate must be issued by this very CA, valid, and for this purpose', async () => {
  const cases: Readonly<Record<string, TestCredential>> = {
    'is issued by "CN=test root"': delegate({}, root),
    'is issued by "CN=other"': delegate({}, other),
    'does not verify with the key of': delegate({ signer: other.signer }),
    'has a signature that does not verify': delegate({ brokenSignature: true }),
    'allows serverAuth, clientAuth, OCSPSigning is needed': issuing.leaf(),
    'allows anyExtendedKeyUsage': delegate({ extKeyUsage: ['anyExtendedKeyUsage'] }),
    'allows no purpose': delegate({ extKeyUsage: null }),
    'has key usage keyAgreement': delegate({ keyUsage: ['keyAgreement'] }),
    'expired: notAfter 2026-05-01T11:59:59Z, now 2026-05-01T12:00:00Z': delegate({
      notAfter: at - 1000,
    }),
    'is not yet valid': delegate({ notBefore: at + 1000 }),
    'has the critical extension "1.2.3"': delegate({
      extensions: [noCheck, extension.other('1.2.3', true, der.null())],
    }),
  };
  for (const [detail, credential] of Object.entries(cases)) {
    const given = ask(await answerOf(credential));
    assert.ok(!given.ok, detail);
    assert.equal(given.code, 'ERR_OCSP_DELEGATE', given.detail);
    assert.ok(given.detail.includes(detail), `${given.detail} lacks ${detail}`);
  }
});

test('a sibling below the issuer’s own issuer cannot answer for it', async () => {
  const sibling = root.intermediate({ extKeyUsage: ['OCSPSigning'] });
  assert.equal(verdict(await answerOf(sibling)), 'ERR_OCSP_DELEGATE');
});

test('a signature by nobody who is named is refused', async () => {
  const credential = delegate();
  assert.equal(verdict(await answer({ signer: credential.signer })), 'ERR_OCSP_RESPONDER');
  const { subject } = issuing.certificate;
  assert.equal(
    verdict(await answer({ signer: other.signer, name: subject })),
    'ERR_OCSP_SIGNATURE',
  );
  const namesake = testCa({ at, subject: [{ type: 'CN', value: 'test intermediate 1' }] });
  const forged = await answerOf(namesake, { name: subject });
  assert.equal(verdict(forged), 'ERR_OCSP_DELEGATE');
});

test('a delegate without id-pkix-ocsp-nocheck is asked about', async () => {
  const open = await answerOf(delegate({ extensions: [] }));
  const closed = await answerOf(delegate());
  const refuse = () => denial('ERR_CERT_REVOKED', 'delegate is revoked');
  assert.equal(verdict(open), 'good');
  assert.equal(verdict(open, { checkDelegate: () => undefined }), 'good');
  assert.equal(verdict(open, { checkDelegate: refuse }), 'ERR_CERT_REVOKED');
  assert.equal(verdict(closed, { checkDelegate: refuse }), 'good');
  assert.equal(verdict(await answer(), { checkDelegate: refuse }), 'good');
});

test('the nonce is the one of the request, or missing where that is allowed', async () => {
  const nonce = new Uint8Array(32).fill(5);
  const same = await answer({ nonce });
  const another = await answer({ nonce: new Uint8Array(32) });
  const none = await answer();
  assert.equal(verdict(same, { nonce }), 'good');
  assert.equal(verdict(same), 'good');
  assert.equal(verdict(another, { nonce }), 'ERR_OCSP_NONCE_MISMATCH');
  assert.equal(verdict(another, { nonce, missingNonce: 'accept' }), 'ERR_OCSP_NONCE_MISMATCH');
  assert.equal(verdict(none, { nonce }), 'ERR_OCSP_NONCE_MISMATCH');
  assert.equal(verdict(none, { nonce, missingNonce: 'accept' }), 'good');
});

test('an answer is fresh from thisUpdate to nextUpdate, clocks that differ allowed for', async () => {
  const hour = 3_600_000;
  const fresh = await answer();
  const open = await answer({ answers: [{ nextUpdate: undefined }] });
  const cases: readonly (readonly [string, OcspResponse, Partial<OcspQuestion>, string])[] = [
    ['at once', fresh, { at: at - 1000, skewMs: 0 }, 'good'],
    ['at the end', fresh, { at: at + hour, skewMs: 0 }, 'good'],
    ['a second early', fresh, { at: at - 2000, skewMs: 0 }, 'ERR_OCSP_STALE'],
    ['a second early, allowed', fresh, { at: at - 2000 }, 'good'],
    ['a second late', fresh, { at: at + hour + 1000, skewMs: 0 }, 'ERR_OCSP_STALE'],
    ['a minute late, allowed', fresh, { at: at + hour + 60_000 }, 'good'],
    ['two minutes late', fresh, { at: at + hour + 120_000 }, 'ERR_OCSP_STALE'],
    ['no time', fresh, { at: Number.NaN }, 'ERR_OCSP_STALE'],
    [
      'old enough to be refused',
      fresh,
      { at: at + 1000, maxAgeMs: 1000, skewMs: 0 },
      'ERR_OCSP_STALE',
    ],
    ['just young enough', fresh, { at, maxAgeMs: 1000, skewMs: 0 }, 'good'],
    ['no nextUpdate', open, {}, 'ERR_OCSP_STALE'],
    ['no nextUpdate, but young', open, { maxAgeMs: 5000 }, 'good'],
    ['no nextUpdate, and old', open, { at: at + hour, maxAgeMs: 5000 }, 'ERR_OCSP_STALE'],
    ['produced later', await answer({ producedAt: at + hour }), {}, 'ERR_OCSP_STALE'],
    [
      'ends before it begins',
      await answer({ answers: [{ nextUpdate: at - 2000 }] }),
      {},
      'ERR_OCSP_STALE',
    ],
  ];
  for (const [what, response, question, expected] of cases) {
    assert.equal(verdict(response, question), expected, what);
  }
});

test('a critical extension that nobody knows makes an answer unusable', async () => {
  const critical = extension.other('1.2.3', true, der.null());
  assert.equal(verdict(await answer({ extensions: [critical] })), 'ERR_OCSP_CRITICAL_UNKNOWN');
  const harmless = extension.other('1.2.3', false, der.null());
  assert.equal(verdict(await answer({ extensions: [harmless] })), 'good');
});

test('an answer with any octet changed is refused', async () => {
  const bytes = (await answerOf(delegate())).raw;
  let refused = 0;
  for (let i = 0; i < bytes.byteLength; i += 1) {
    const copy = bytes.slice();
    copy[i] = (copy[i] ?? 0) ^ 1;
    try {
      if (verdict(parseOcspResponse(copy)) !== 'good') refused += 1;
    } catch {
      refused += 1;
    }
  }
  assert.equal(refused, bytes.byteLength);
});

test('who remembers signatures passes its own verifier', async () => {
  let calls = 0;
  const verify: typeof verifySignature = (...given) => {
    calls += 1;
    return verifySignature(...given);
  };
  assert.equal(verdict(await answerOf(delegate()), { verify }), 'good');
  assert.equal(calls, 2);
  assert.equal(verdict(await answer(), { verify: () => false }), 'ERR_OCSP_SIGNATURE');
});
