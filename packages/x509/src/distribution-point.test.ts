import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testCa } from '@countersign/testkit';
import { buildCrl } from './build-crl.ts';
import type { Crl } from './crl.ts';
import type {
  DistributionPointTemplate,
  IssuingDistributionPointTemplate,
} from './distribution-point.ts';
import type {
  DistributionPoint,
  Extension,
  IssuingDistributionPoint,
  ReasonFlag,
} from './extension.ts';
import { extension } from './extension-builders.ts';
import type { GeneralName } from './general-name.ts';
import { buildName } from './name.ts';
import { parseCrl } from './parse-crl.ts';

const at = Date.parse('2026-05-01T12:00:00Z');
const root = testCa({ at });
const uri = (value: string): GeneralName => ({ kind: 'uri', value });
const name = buildName([{ type: 'CN', value: 'lists' }]);
const [relativeName] = buildName([{ type: 'OU', value: 'shard 7' }]).rdns;
const directory: GeneralName = { kind: 'directory', name };

async function listWith(...extensions: Extension[]): Promise<Crl> {
  const bytes = await buildCrl({
    signer: root.signer,
    issuer: root.certificate.subject,
    thisUpdate: at,
    nextUpdate: at + 1000,
    crlNumber: 1n,
    entries: [],
    extensions,
  });
  return parseCrl(bytes);
}

const points: readonly (readonly [
  string,
  DistributionPointTemplate,
  Partial<DistributionPoint>,
])[] = [
  ['URIs', ['http://a', 'ldap://b'], { fullName: [uri('http://a'), uri('ldap://b')] }],
  ['names of two kinds', { fullName: [uri('http://a'), directory] }, {}],
  ['a relative name', { relativeName: relativeName ?? [] }, {}],
  [
    'reasons and another issuer',
    {
      fullName: [uri('http://a')],
      reasons: new Set<ReasonFlag>(['keyCompromise', 'aACompromise']),
      crlIssuer: [directory],
    },
    {},
  ],
  ['an issuer alone', { crlIssuer: [directory] }, {}],
];

test('a certificate’s distribution points go both ways, for lists and for deltas', () => {
  for (const [what, template, expected] of points) {
    const wanted = { ...empty, ...(Array.isArray(template) ? {} : template), ...expected };
    const { certificate } = root.leaf({
      extensions: [
        extension.crlDistributionPoints([template]),
        extension.freshestCrl([template, ['http://c']]),
      ],
    });
    assert.deepEqual(certificate.crlDistributionPoints, [wanted], what);
    assert.deepEqual(
      certificate.freshestCrl,
      [wanted, { ...empty, fullName: [uri('http://c')] }],
      what,
    );
    assert.deepEqual(certificate.unknownCriticalExtensions, []);
  }
});

const empty: DistributionPoint = {
  fullName: [],
  relativeName: undefined,
  reasons: undefined,
  crlIssuer: [],
};

test('what a list covers goes both ways, in every field', async () => {
  const cases: readonly IssuingDistributionPointTemplate[] = [
    { fullName: [uri('http://a'), directory] },
    { relativeName: relativeName ?? [] },
    { onlyContainsUserCerts: true },
    { onlyContainsCaCerts: true, fullName: [uri('http://a')] },
    { onlyContainsAttributeCerts: true },
    { onlySomeReasons: new Set<ReasonFlag>(['keyCompromise', 'cACompromise', 'certificateHold']) },
    {
      fullName: [uri('http://a')],
      onlyContainsUserCerts: true,
      onlySomeReasons: new Set<ReasonFlag>(['privilegeWithdrawn']),
      indirectCrl: true,
    },
  ];
  for (const template of cases) {
    const list = await listWith(extension.issuingDistributionPoint(template));
    assert.deepEqual(list.issuingDistributionPoint, { ...nothing, ...template });
    assert.equal(list.extensions.at(-1)?.critical, true);
  }
  const short = await listWith(extension.issuingDistributionPoint({ uris: ['http://a'] }));
  assert.deepEqual(short.issuingDistributionPoint?.fullName, [uri('http://a')]);
});

const nothing: IssuingDistributionPoint = {
  fullName: [],
  relativeName: undefined,
  onlyContainsUserCerts: false,
  onlyContainsCaCerts: false,
  onlySomeReasons: undefined,
  indirectCrl: false,
  onlyContainsAttributeCerts: false,
};

test('a point that says nothing, or two things, is not built', () => {
  const both = { fullName: [uri('http://a')], relativeName: relativeName ?? [] };
  const two = { onlyContainsUserCerts: true, onlyContainsCaCerts: true };
  const wrong: readonly (() => unknown)[] = [
    () => extension.crlDistributionPoints([]),
    () => extension.crlDistributionPoints([[]]),
    () => extension.freshestCrl([{ reasons: new Set<ReasonFlag>(['superseded']) }]),
    () => extension.crlDistributionPoints([both]),
    () => extension.issuingDistributionPoint({}),
    () => extension.issuingDistributionPoint({ onlyContainsCaCerts: false }),
    () => extension.issuingDistributionPoint(both),
    () => extension.issuingDistributionPoint(two),
  ];
  for (const build of wrong) assert.throws(build, RangeError, build.toString());
});

test('a list says where its deltas and its issuer’s certificate are', async () => {
  const list = await listWith(
    extension.freshestCrl([['http://crl.example/delta']]),
    extension.authorityInfoAccess({ caIssuers: ['http://ca.example/ca.der'] }),
  );
  assert.deepEqual(list.freshestCrl, [{ ...empty, fullName: [uri('http://crl.example/delta')] }]);
  assert.deepEqual(list.authorityInfoAccess, [
    { method: 'caIssuers', location: uri('http://ca.example/ca.der') },
  ]);
  const bare = await listWith();
  assert.deepEqual([bare.freshestCrl, bare.authorityInfoAccess], [undefined, undefined]);
});

test('a certificate says where its responder is', () => {
  const access = {
    ocsp: ['http://ocsp.example/a', 'http://ocsp.example/b'],
    caIssuers: ['http://ca.example'],
  };
  const { certificate } = root.leaf({ extensions: [extension.authorityInfoAccess(access)] });
  assert.deepEqual(certificate.authorityInfoAccess, [
    { method: 'ocsp', location: uri('http://ocsp.example/a') },
    { method: 'ocsp', location: uri('http://ocsp.example/b') },
    { method: 'caIssuers', location: uri('http://ca.example') },
  ]);
});
