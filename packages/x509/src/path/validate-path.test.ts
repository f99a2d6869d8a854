import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Mutations, testCa, testKey } from '@countersign/testkit';
import { assembleCertificate } from '../build-certificate.ts';
import { encodeDerTree, readDerTree } from '../der-tree.ts';
import { der } from '../der-writer.ts';
import { extension } from '../extension-builders.ts';
import { oids } from '../oids.ts';
import { parseCertificate } from '../parse-certificate.ts';
import type { PathRefused, PathRequest } from './path-request.ts';
import { validatePath } from './validate-path.ts';

const at = Date.parse('2026-05-01T12:00:00Z');
const root = testCa({ at });
const issuing = root.intermediate();

function request(overrides: Partial<PathRequest> = {}): PathRequest {
  return {
    leaf: issuing.leaf().certificate,
    intermediates: [issuing.certificate],
    anchors: [root.root],
    at,
    ...overrides,
  };
}

function refusalOf(overrides: Partial<PathRequest>): PathRefused {
  const result = validatePath(request(overrides));
  assert.ok(!result.ok, 'the path is refused');
  return result;
}

test('a leaf, its issuer and the anchor make a path, leaf first', () => {
  const wanted = request({ purpose: 'server' });
  const result = validatePath(wanted);
  assert.deepEqual(result, { ok: true, chain: [wanted.leaf, issuing.certificate, root.root] });
});

test('an intermediate that is trusted by itself ends the path', () => {
  const result = validatePath(
    request({ anchors: [issuing.certificate], intermediates: [root.root] }),
  );
  assert.ok(result.ok);
  assert.equal(result.chain.at(-1), issuing.certificate);
});

test('a leaf that is an anchor itself is accepted alone, and still has to be valid', () => {
  const leaf = issuing.leaf().certificate;
  assert.deepEqual(validatePath(request({ leaf, anchors: [leaf], intermediates: [] })), {
    ok: true,
    chain: [leaf],
  });
  const late = refusalOf({ leaf, anchors: [leaf], at: leaf.notAfter + 1000 });
  assert.equal(late.code, 'ERR_CERT_EXPIRED');
});

test('an expired leaf is refused with both times', () => {
  const notAfter = Date.parse('2026-01-01T00:00:00Z');
  const leaf = issuing.leaf({ subject: [{ type: 'CN', value: 'leaf' }], notAfter }).certificate;
  const { code, detail, subject, depth } = refusalOf({ leaf });
  assert.equal(code, 'ERR_CERT_EXPIRED');
  assert.equal(
    detail,
    'certificate "CN=leaf" expired: notAfter 2026-01-01T00:00:00Z, now 2026-05-01T12:00:00Z',
  );
  assert.deepEqual([subject, depth], ['CN=leaf', 0]);
});

test('validity includes both ends, in whole seconds', () => {
  const leaf = issuing.leaf().certificate;
  for (const inside of [leaf.notBefore, leaf.notAfter, leaf.notAfter + 999]) {
    const wide = { anchors: [issuing.certificate], intermediates: [] };
    assert.ok(validatePath(request({ leaf, ...wide, at: inside })).ok);
  }
  assert.equal(refusalOf({ leaf, at: leaf.notBefore - 1 }).code, 'ERR_CERT_NOT_YET_VALID');
  assert.equal(refusalOf({ leaf, at: Number.NaN }).code, 'ERR_CERT_NOT_YET_VALID');
});

test('a missing intermediate is named by the certificate that lacks it', () => {
  const { code, detail } = refusalOf({ intermediates: [] });
  assert.equal(code, 'ERR_PATH_NO_ISSUER');
  assert.match(
    detail,
    /issued by "CN=test intermediate 1", which is not among 1 trust anchor and 0 intermediates/,
  );
});

test('an unknown root at the end of the path is called untrusted', () => {
  const other = testCa({ at, name: 'other root' });
  const leaf = other.leaf().certificate;
  const { code, detail, depth } = refusalOf({ leaf, intermediates: [other.root] });
  assert.equal(code, 'ERR_PATH_UNTRUSTED');
  assert.match(detail, /"CN=other root" is self-issued and not among 1 trust anchor/);
  assert.equal(depth, 1);
});

test('a root of the same name and another key is no issuer', () => {
  const impostor = testCa({ at });
  const leaf = impostor.leaf().certificate;
  assert.equal(refusalOf({ leaf, intermediates: [] }).code, 'ERR_PATH_SIGNATURE');
});

test('one turned bit of a signature is enough', () => {
  const leaf = issuing.leaf({ brokenSignature: true }).certificate;
  const { code, detail } = refusalOf({ leaf });
  assert.equal(code, 'ERR_PATH_SIGNATURE');
  assert.match(detail, /with the key of "CN=test intermediate 1" whose key identifier it names/);
});

test('the reason is that of the path that would have led to an anchor', () => {
  // the cross-signed twin leads nowhere, the expired one to the anchor
  const stranger = testCa({ at, name: 'stranger' });
  const subject = [{ type: 'CN', value: 'issuing' }] as const;
  const expired = root.intermediate({ subject, notAfter: at - 1000 });
  const cross = stranger.intermediate({ subject, key: expired.privateKey });
  const { code } = refusalOf({
    leaf: expired.leaf().certificate,
    intermediates: [cross.certificate, expired.certificate],
  });
  assert.equal(code, 'ERR_CERT_EXPIRED');
});

test('a bad twin of an intermediate does not stand in the way of a good one', () => {
  const subject = [{ type: 'CN', value: 'twin' }] as const;
  const good = root.intermediate({ subject });
  const twins: Mutations[] = [
    { notAfter: at - 1000 },
    { isCa: false, keyUsage: ['digitalSignature'] },
    { extKeyUsage: ['emailProtection'] },
    { nameConstraints: { permitted: [{ kind: 'dns', value: 'elsewhere.example' }] } },
    { brokenSignature: true },
  ];
  const leaf = good.leaf({ dns: ['a.example'] }).certificate;
  const bad = twins.map((twin) => root.intermediate({ subject, key: good.privateKey, ...twin }));
  const intermediates = [...bad, good].map(({ certificate }) => certificate);
  const result = validatePath(request({ leaf, intermediates, purpose: 'server' }));
  assert.ok(result.ok);
  assert.equal(result.chain[1], good.certificate);
});

const unsoundCas: readonly [string, Mutations, string][] = [
  ['without basicConstraints', { without: [oids.basicConstraints] }, 'ERR_CERT_NOT_CA'],
  ['without keyCertSign', { keyUsage: ['cRLSign'] }, 'ERR_CERT_KEY_USAGE'],
  ['without a key identifier', { without: [oids.subjectKeyIdentifier] }, 'ERR_CERT_KEY_ID'],
  [
    'without an authority key identifier',
    { without: [oids.authorityKeyIdentifier] },
    'ERR_CERT_KEY_ID',
  ],
  ['of RSA with 1024 bits', { key: { type: 'RSA', bits: 1024 } }, 'ERR_KEY_WEAK'],
  [
    'with an unknown critical extension',
    { extensions: [extension.other('1.2.3.4', true, der.null())] },
    'ERR_CERT_CRITICAL_UNKNOWN',
  ],
  [
    'with neither basicConstraints nor key usage critical',
    {
      extensions: [
        extension.basicConstraints({ ca: true, critical: false }),
        extension.keyUsage(['keyCertSign'], false),
      ],
    },
    'ERR_CERT_CRITICALITY',
  ],
  [
    'with a leading dot in a DNS constraint',
    { nameConstraints: { permitted: [{ kind: 'dns', value: '.example' }] } },
    'ERR_CERT_NAME_CONSTRAINTS',
  ],
  [
    'that maps anyPolicy',
    {
      extensions: [
        extension.policyMappings([
          { issuerDomainPolicy: oids.anyPolicy, subjectDomainPolicy: '1.2.3' },
        ]),
      ],
    },
    'ERR_CERT_POLICIES',
  ],
  ['of purpose e-mail', { extKeyUsage: ['emailProtection'] }, 'ERR_CERT_PURPOSE'],
  ['that is not valid yet', { notBefore: at + 60_000 }, 'ERR_CERT_NOT_YET_VALID'],
];
for (const [what, mutations, code] of unsoundCas) {
  test(`an intermediate ${what} is refused with ${code}`, () => {
    const ca = root.intermediate(mutations);
    const refusal = refusalOf({
      leaf: ca.leaf().certificate,
      intermediates: [ca.certificate],
      purpose: 'server',
    });
    assert.equal(refusal.code, code);
    assert.equal(refusal.depth, 1);
  });
}

const unsoundLeaves: readonly [string, Mutations, string][] = [
  ['with serial number zero', { serial: Uint8Array.of(0) }, 'ERR_CERT_SERIAL'],
  ['with a serial number of 21 octets', { serial: new Uint8Array(21).fill(1) }, 'ERR_CERT_SERIAL'],
  ['of another purpose', { extKeyUsage: ['clientAuth'] }, 'ERR_CERT_PURPOSE'],
  ['that may sign certificates and is no CA', { keyUsage: ['keyCertSign'] }, 'ERR_CERT_KEY_USAGE'],
  ['without any name', { subject: [], dns: [], uri: [] }, 'ERR_CERT_NAME_EMPTY'],
  [
    'with name constraints',
    { nameConstraints: { permitted: [{ kind: 'dns', value: 'a' }] } },
    'ERR_CERT_NAME_CONSTRAINTS',
  ],
];
for (const [what, mutations, code] of unsoundLeaves) {
  test(`a leaf ${what} is refused with ${code}`, () => {
    const { certificate: leaf } = issuing.leaf(mutations);
    assert.equal(refusalOf({ leaf, purpose: 'server' }).code, code);
  });
}

test('PKITS 4.6.4: basicConstraints need not be critical where a critical key usage marks the CA', () => {
  const old = root.intermediate({
    extensions: [extension.basicConstraints({ ca: true, critical: false })],
  });
  const wanted = request({ leaf: old.leaf().certificate, intermediates: [old.certificate] });
  assert.ok(validatePath(wanted).ok);
});

test('PKITS 4.2.4: a validity before 2050 may be written as GeneralizedTime', () => {
  const { certificate } = issuing.leaf();
  const fields = readDerTree(certificate.tbs);
  assert.ok('children' in fields);
  const validity = der.sequence(
    der.generalizedTime(certificate.notBefore),
    der.time(certificate.notAfter),
  );
  const tbs = der.sequence(
    ...fields.children.map((field, i) => (i === 4 ? validity : encodeDerTree(field))),
  );
  const { signer } = issuing;
  const signature = signer.sign(tbs);
  assert.ok(!(signature instanceof Promise));
  const leaf = parseCertificate(assembleCertificate(tbs, signer.algorithm, signature));
  assert.equal(leaf.notBefore, certificate.notBefore);
  assert.ok(validatePath(request({ leaf })).ok);
});

test('a serial number of 20 octets whose first bit is set is fine', () => {
  const leaf = issuing.leaf({ serial: new Uint8Array(20).fill(0xff) }).certificate;
  assert.ok(validatePath(request({ leaf })).ok);
});

test('path length and depth count intermediates that are not self-issued', () => {
  const limited = root.intermediate({ pathLen: 0 });
  const subject = [{ type: 'CN', value: 'test intermediate 1' }] as const;
  const below = limited.intermediate();
  const tooLong = refusalOf({
    leaf: below.leaf().certificate,
    intermediates: [below.certificate, limited.certificate],
  });
  assert.equal(tooLong.code, 'ERR_PATH_LENGTH');
  assert.match(tooLong.detail, /allows 0 intermediates below it, the path has 1/);

  const old = root.intermediate({ subject, pathLen: 0 });
  const rollover = old.intermediate({ subject });
  const path = {
    leaf: rollover.leaf().certificate,
    intermediates: [rollover.certificate, old.certificate],
  };
  assert.ok(validatePath(request({ ...path, maxDepth: 1 })).ok);
  assert.equal(refusalOf({ ...path, maxDepth: 0 }).code, 'ERR_PATH_DEPTH');
});

test('an anchor holds its own limits over what is below it', () => {
  const anchor = testCa({ at, pathLen: 0, extKeyUsage: ['clientAuth'] });
  const below = anchor.intermediate();
  const anchors = [anchor.root];
  const deep = { leaf: below.leaf().certificate, intermediates: [below.certificate], anchors };
  assert.equal(refusalOf(deep).code, 'ERR_PATH_LENGTH');
  const { certificate: leaf } = anchor.leaf();
  assert.ok(validatePath(request({ leaf, anchors, purpose: 'client' })).ok);
  assert.equal(refusalOf({ leaf, anchors, purpose: 'server' }).code, 'ERR_CERT_PURPOSE');
});

test('names are asked for only once there is a path, and every one must match', () => {
  const leaf = issuing.leaf({ dns: ['a.example'], ip: ['10.0.0.1'] }).certificate;
  assert.ok(validatePath(request({ leaf, names: [{ dns: 'A.example' }, { ip: '10.0.0.1' }] })).ok);
  const names = [{ dns: 'a.example' }, { ip: '10.0.0.2' }];
  assert.equal(refusalOf({ leaf, names }).code, 'ERR_NAME_MISMATCH');
  assert.equal(refusalOf({ leaf, names, intermediates: [] }).code, 'ERR_PATH_NO_ISSUER');
});

test('every kind of key that is accepted verifies', () => {
  const kinds: Mutations['key'][] = [
    { type: 'EC', curve: 'P-384' },
    { type: 'EC', curve: 'P-521' },
    { type: 'Ed25519' },
    { type: 'RSA', bits: 2048 },
    testKey({ type: 'RSA-PSS', bits: 2048 }),
    { type: 'ML-DSA', set: 44 },
  ];
  for (const key of kinds) {
    const ca = root.intermediate(key === undefined ? {} : { key });
    const leaf = ca.leaf().certificate;
    assert.ok(validatePath(request({ leaf, intermediates: [ca.certificate] })).ok);
  }
});
