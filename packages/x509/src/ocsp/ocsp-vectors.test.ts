import assert from 'node:assert/strict';
import { verify as verifyBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CountersignError } from '@countersign/base';
import { certificatesFromPem } from '../parse-certificate.ts';
import { verifySignature } from '../signer.ts';
import { publicKeyOf } from '../spki.ts';
import { checkOcspResponse } from './check-ocsp-response.ts';
import type { OcspQuestion } from './ocsp-question.ts';
import { parseOcspRequest } from './parse-ocsp-request.ts';
import { parseOcspResponse } from './parse-ocsp-response.ts';

const vectors = new URL('../../../../../shared/vectors/', import.meta.url);
const skipOf = (folder: string): false | string =>
  existsSync(new URL(folder, vectors)) ? false : `no ../shared/vectors/${folder}`;
const read = (name: string): Buffer => readFileSync(new URL(name, vectors));

/** As OpenSSL's own test does: what was to be trusted in 2012 is signed with SHA-1. */
const verifyOfThen: NonNullable<OcspQuestion['verify']> = (spki, algorithm, data, signature) => {
  if (algorithm.oid !== '1.2.840.113549.1.1.5') {
    return verifySignature(spki, algorithm, data, signature);
  }
  try {
    return verifyBytes('sha1', data, publicKeyOf(spki), signature);
  } catch {
    return false;
  }
};

/** Chain by chain: the certificate in question, its issuer, and a time when the answer was fresh. */
const chains = {
  ND1: ['ND1_Cert_EE', 'ND1_Issuer_ICA', '2012-10-12T00:00:00Z'],
  ND2: ['ND2_Cert_ICA', 'ND2_Issuer_Root', '2012-10-12T00:00:00Z'],
  ND3: ['ND3_Cert_EE', 'ND3_Issuer_Root', '2012-10-12T00:00:00Z'],
  D1: ['D1_Cert_EE', 'D1_Issuer_ICA', '2012-10-24T00:00:00Z'],
  D2: ['D2_Cert_ICA', 'D2_Issuer_Root', '2012-10-24T00:00:00Z'],
  D3: ['D3_Cert_EE', 'D3_Issuer_Root', '2012-10-24T00:00:00Z'],
} as const;
type Chain = keyof typeof chains;

/** What each prefix of a file name means, and the codes by which we refuse it; none: it is right. */
const meanings: Readonly<Record<string, readonly [meaning: string, ...codes: string[]]>> = {
  '': ['right'],
  ISOP: ['wrong signature on the answer', 'ERR_OCSP_SIGNATURE'],
  WRID: ['wrong responder ID', 'ERR_OCSP_RESPONDER'],
  WINH: ['wrong issuer name hash', 'ERR_OCSP_CERT_ID'],
  WIKH: ['wrong issuer key hash', 'ERR_OCSP_CERT_ID'],
  WKDOSC: ['wrong key in the delegate’s certificate', 'ERR_OCSP_RESPONDER', 'ERR_OCSP_SIGNATURE'],
  ISDOSC: ['wrong signature on the delegate’s certificate', 'ERR_OCSP_DELEGATE'],
  WSNIC: ['wrong subject in the issuer’s certificate', 'ERR_OCSP_CERT_ID'],
  WKIC: ['wrong key in the issuer’s certificate', 'ERR_OCSP_CERT_ID'],
  // who gives an issuer trusts it: OpenSSL's tests expect success, too
  ISIC: ['wrong signature on the issuer’s certificate, which is trusted as it is given'],
};

function judge(chain: Chain, answer: string, issuerFile: string, verify?: OcspQuestion['verify']) {
  const [subject, , time] = chains[chain];
  const of = (name: string) => parsePem(read(`openssl-ocsp/${name}.pem`).toString());
  return checkOcspResponse(
    parseOcspResponse(Buffer.from(read(`openssl-ocsp/${answer}.ors`).toString(), 'base64')),
    {
      certificate: of(subject),
      issuer: of(issuerFile),
      at: Date.parse(time),
      ...(verify === undefined ? {} : { verify }),
    },
  );
}

function parsePem(text: string) {
  const [certificate] = certificatesFromPem(text);
  assert.ok(certificate);
  return certificate;
}

test('the answers of OpenSSL’s suite are judged as their names say', {
  skip: skipOf('openssl-ocsp'),
}, (context) => {
  const files = readdirSync(new URL('openssl-ocsp', vectors));
  const cases = files.flatMap((file) => {
    const named = /^(?:([A-Z]+)_)?(N?D[123])(?:\.ors|_Issuer_(?:ICA|Root)\.pem)$/.exec(file);
    const [, prefix = '', chain] = named ?? [];
    const isAnswer = file.endsWith('.ors');
    if (chain === undefined || (!isAnswer && prefix === '')) return [];
    return [{ file: file.replace(/\..*/, ''), prefix, chain: chain as Chain, isAnswer }];
  });
  let accepted = 0;
  for (const { file, prefix, chain, isAnswer } of cases) {
    const [meaning, ...codes] = meanings[prefix] ?? ['no meaning is known', 'none'];
    const answer = isAnswer ? file : chain;
    const issuer = isAnswer ? chains[chain][1] : file;
    const verdict = judge(chain, answer, issuer, verifyOfThen);
    if (codes.length === 0) {
      assert.deepEqual(
        [verdict.ok, verdict.ok && verdict.status],
        [true, 'good'],
        `${file}: ${JSON.stringify(verdict)}`,
      );
      accepted += 1;
    } else {
      assert.ok(
        !verdict.ok && codes.includes(verdict.code),
        `${file}, ${meaning}: ${JSON.stringify(verdict)}`,
      );
    }
    // SHA-1 is for that time alone
    const today = judge(chain, answer, issuer);
    assert.equal(today.ok, false, `${file}: SHA-1 is accepted`);
  }
  context.diagnostic(
    `${cases.length} cases: ${accepted} accepted, ${cases.length - accepted} refused, as named`,
  );
  assert.deepEqual([cases.length, accepted], [54, 12]);
});

/** What pyca/cryptography's tests say of each file: how much of it can be read, and what it says. */
const requests: Readonly<Record<string, string>> = {
  'ocsp-army.inapplicable-req': 'sha1 01',
  'ocsp-army.revoked-req': 'sha1 0391ae',
  'ocsp-army.valid-req': 'sha1 0391ad',
  'req-duplicate-ext': 'ERR_OCSP_EXTENSION',
  'req-ext-nonce': 'sha1 01af1efbdd5eae0952320b24fe6b5568 nonce 7b805a1d3726b8b84f48d2f8bfd72dfd',
  'req-ext-unknown-oid': 'sha1 01af1efbdd5eae0952320b24fe6b5568',
  'req-invalid-hash-alg': 'unknown 98d9e5c0b4c373552df77c5d0f1eb5128e4945f9',
  'req-multi-sha1':
    'sha1 98d9e5c0b4c373552df77c5d0f1eb5128e4945f9, sha1 98d9e5c0b4c373552df77c5d0f1eb5128e4945f0',
  'req-sha1': 'sha1 98d9e5c0b4c373552df77c5d0f1eb5128e4945f9',
};

const responses: Readonly<Record<string, string>> = {
  'ocsp-army.deps.mil-resp': 'revoked unspecified, 20 in one, verifies',
  'resp-delegate-unknown-cert': 'unknown, verifies',
  'resp-invalid-signature-oid': 'good',
  'resp-responder-key-hash': 'revoked unspecified',
  'resp-response-type-unknown-oid': 'ERR_OCSP_RESPONSE_TYPE',
  'resp-revoked-no-next-update': 'revoked unspecified, no nextUpdate',
  'resp-revoked-reason': 'revoked superseded, nonce, verifies',
  'resp-revoked': 'revoked unspecified',
  'resp-sct-extension': 'good, nonce, verifies',
  'resp-sha256': 'good',
  'resp-single-extension-reason': 'good',
  'resp-successful-no-response-bytes': 'ERR_OCSP_RESPONSE_BYTES',
  'resp-unauthorized': 'unauthorized',
  'resp-unknown-extension': 'revoked superseded',
  'resp-unknown-hash-alg': 'revoked unspecified, unknown hash',
  'resp-unknown-response-status': 'ERR_DER_VALUE',
};

const readings: readonly [
  string,
  Readonly<Record<string, string>>,
  (bytes: Uint8Array) => string,
][] = [
  ['requests', requests, readRequest],
  ['responses', responses, readResponse],
];

for (const [kind, expected, reading] of readings) {
  test(`pyca’s ${kind} are read as their names say`, { skip: skipOf('pyca-ocsp') }, (context) => {
    const found: Record<string, string> = {};
    for (const name of Object.keys(expected)) {
      try {
        found[name] = reading(read(`pyca-ocsp/${name}.der`));
      } catch (thrown) {
        if (!(thrown instanceof CountersignError)) throw thrown;
        found[name] = thrown.code;
      }
    }
    const refused = Object.values(found).filter((text) => text.startsWith('ERR_')).length;
    assert.deepEqual(found, expected);
    context.diagnostic(
      `${Object.keys(found).length - refused} ${kind} read, ${refused} refused, as named`,
    );
  });
}

function readRequest(bytes: Uint8Array): string {
  const request = parseOcspRequest(bytes);
  const asked = request.requests.map(
    ({ certId }) => `${certId.hash ?? 'unknown'} ${certId.serialHex}`,
  );
  const { nonce } = request;
  return (
    asked.join(', ') + (nonce === undefined ? '' : ` nonce ${Buffer.from(nonce).toString('hex')}`)
  );
}

function readResponse(bytes: Uint8Array): string {
  const { basic, status } = parseOcspResponse(bytes);
  const [single] = basic?.responses ?? [];
  if (basic === undefined || single === undefined) return status;
  const known = single.status;
  const said = [known.status === 'revoked' ? `revoked ${known.reason}` : known.status];
  if (basic.responses.length > 1) said.push(`${basic.responses.length} in one`);
  if (single.nextUpdate === undefined) said.push('no nextUpdate');
  if (single.certId.hash === undefined) said.push('unknown hash');
  if (basic.nonce !== undefined) said.push('nonce');
  const { signatureAlgorithm, tbs, signature } = basic;
  const [delegate] = basic.certificates;
  if (delegate && verifySignature(delegate.spki, signatureAlgorithm, tbs, signature))
    said.push('verifies');
  return said.join(', ');
}
