import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { fromHex } from '@countersign/base';
import {
  assembleCertificate,
  buildTbsCertificate,
  type CertificateTemplate,
  signCertificate,
} from './build-certificate.ts';
import type { Certificate } from './certificate.ts';
import { der } from './der-writer.ts';
import type { Extension } from './extension.ts';
import { encodeExtensions, extension, keyIdOf } from './extension-builders.ts';
import { formatGeneralName } from './general-name.ts';
import { parseIpAddress, parseIpNetwork } from './ip-address.ts';
import type { KeyKind } from './key-kind.ts';
import { buildName, formatName } from './name.ts';
import { oids } from './oids.ts';
import { certificatesFromPem, fingerprintOf, parseCertificate } from './parse-certificate.ts';
import { encodePem } from './pem.ts';
import { generateKeyPair } from './private-key.ts';
import { keySigner, type Signer, verifySignature } from './signer.ts';

const signer = keySigner((await generateKeyPair({ type: 'EC', curve: 'P-256' })).privateKey);
const name = buildName([
  { type: 'C', value: 'AT' },
  { type: 'O', value: 'Beispiel & Söhne' },
  { type: 'CN', value: 'x' },
]);
const address = (text: string): Uint8Array => parseIpAddress(text) ?? new Uint8Array();
const network = (text: string): Uint8Array => parseIpNetwork(text) ?? new Uint8Array();

const template = (changes: Partial<CertificateTemplate> = {}): CertificateTemplate => ({
  serial: Uint8Array.of(0x80, 1),
  issuer: name,
  subject: name,
  notBefore: Date.UTC(2026, 0, 1),
  notAfter: Date.UTC(2055, 0, 1, 12, 30, 1),
  spki: signer.spki,
  extensions: [],
  ...changes,
});

const make = async (
  changes: Partial<CertificateTemplate> = {},
  by: Signer = signer,
): Promise<Uint8Array> => await signCertificate(template(changes), by);

/** A certificate of any TBS content: for what `buildTbsCertificate` would never write. */
async function raw(...parts: readonly Uint8Array[]): Promise<Uint8Array> {
  const tbs = der.sequence(...parts);
  return assembleCertificate(tbs, signer.algorithm, await signer.sign(tbs));
}

const v3 = der.explicit(0, der.integer(2));
const one = der.integer(1);
const algorithm = signer.algorithm.identifier;
const validity = der.sequence(der.time(0), der.time(1e12));
const body = [algorithm, name.raw, validity, name.raw, signer.spki.raw];
const withExtensions = (...values: readonly Uint8Array[]): Promise<Uint8Array> =>
  raw(v3, one, ...body, der.explicit(3, der.sequence(...values)));
const withExtension = (oid: string, value: Uint8Array): Promise<Uint8Array> =>
  make({ extensions: [extension.other(oid, false, value)] });

test('what is built is what node:crypto reads, for every kind of key', async () => {
  const kinds: readonly KeyKind[] = [
    { type: 'EC', curve: 'P-256' },
    { type: 'EC', curve: 'P-384' },
    { type: 'EC', curve: 'P-521' },
    { type: 'RSA', bits: 2048 },
    { type: 'RSA-PSS', bits: 2048 },
    { type: 'Ed25519' },
  ];
  for (const kind of kinds) {
    const by = keySigner((await generateKeyPair(kind)).privateKey);
    const bytes = await make({ spki: by.spki }, by);
    const foreign = new X509Certificate(bytes);
    const ours = parseCertificate(bytes);
    assert.ok(foreign.verify(foreign.publicKey), kind.type);
    assert.ok(verifySignature(ours.spki, ours.signatureAlgorithm, ours.tbs, ours.signature));
    assert.equal(foreign.serialNumber.toLowerCase(), ours.serialHex);
    assert.equal(foreign.validToDate.getTime(), ours.notAfter);
    assert.equal(foreign.fingerprint256.replaceAll(':', '').toLowerCase(), fingerprintOf(ours));
    assert.deepEqual(ours.raw, bytes);
  }
});

test('every extension goes both ways', async () => {
  const certificate = parseCertificate(
    await make({
      extensions: [
        extension.basicConstraints({ ca: true, pathLen: 3 }),
        extension.keyUsage(['digitalSignature', 'keyCertSign', 'decipherOnly']),
        extension.extKeyUsage(['serverAuth', 'OCSPSigning', '1.2.3.4']),
        extension.subjectAltName([
          { kind: 'dns', value: 'a.example' },
          { kind: 'ip', bytes: address('2001:db8::1') },
          { kind: 'uri', value: 'spiffe://a.example/b' },
          { kind: 'email', value: 'a@b.example' },
          { kind: 'directory', name },
          { kind: 'otherName', oid: '1.2.3', value: der.utf8('ü') },
          { kind: 'registeredId', oid: '1.2.3' },
        ]),
        extension.issuerAltName([{ kind: 'uri', value: 'https://ca.example' }]),
        extension.nameConstraints({
          permitted: [
            { kind: 'dns', value: 'example' },
            { kind: 'ip', bytes: network('10.0.0.0/8') },
            { kind: 'directory', name },
          ],
          excluded: [
            { kind: 'email', value: '.example' },
            { kind: 'uri', value: 'x.example' },
          ],
        }),
        extension.subjectKeyId(keyIdOf(signer.spki)),
        extension.authorityKeyId(Uint8Array.of(1, 2, 3)),
        extension.crlDistributionPoints([['http://crl.example/1'], ['ldap://x', 'http://y']]),
        extension.authorityInfoAccess({
          ocsp: ['http://ocsp.example'],
          caIssuers: ['http://ca.example'],
        }),
        extension.certificatePolicies(['1.2.3', oids.anyPolicy]),
        extension.policyMappings([{ issuerDomainPolicy: '1.2.3', subjectDomainPolicy: '1.2.4' }]),
        extension.policyConstraints({ requireExplicitPolicy: 0, inhibitPolicyMapping: 300 }),
        extension.inhibitAnyPolicy(1),
        extension.other('1.2.3.4.5', true, der.null()),
      ],
    }),
  );
  assert.deepEqual(certificate.basicConstraints, { ca: true, pathLen: 3, critical: true });
  assert.deepEqual(
    [...(certificate.keyUsage ?? [])],
    ['digitalSignature', 'keyCertSign', 'decipherOnly'],
  );
  assert.deepEqual(certificate.extKeyUsage, ['serverAuth', 'OCSPSigning', '1.2.3.4']);
  assert.deepEqual(certificate.subjectAltNames.map(formatGeneralName), [
    'dns:a.example',
    'ip:2001:db8::1',
    'uri:spiffe://a.example/b',
    'email:a@b.example',
    `directory:${formatName(name)}`,
    'otherName:1.2.3:0c02c3bc',
    'registeredId:1.2.3',
  ]);
  assert.deepEqual(certificate.issuerAltNames.map(formatGeneralName), ['uri:https://ca.example']);
  assert.deepEqual(
    certificate.nameConstraints?.permitted.map(({ base }) => formatGeneralName(base)),
    ['dns:example', 'ip:10.0.0.0/8', `directory:${formatName(name)}`],
  );
  assert.deepEqual(
    certificate.nameConstraints?.excluded.map(({ base }) => formatGeneralName(base)),
    ['email:.example', 'uri:x.example'],
  );
  assert.equal(certificate.subjectKeyId?.byteLength, 20);
  assert.deepEqual(certificate.authorityKeyId, {
    keyId: Uint8Array.of(1, 2, 3),
    issuer: undefined,
    serial: undefined,
  });
  assert.deepEqual(
    certificate.crlDistributionPoints?.map(({ fullName }) => fullName.map(formatGeneralName)),
    [['uri:http://crl.example/1'], ['uri:ldap://x', 'uri:http://y']],
  );
  assert.deepEqual(
    certificate.authorityInfoAccess?.map(({ method }) => method),
    ['ocsp', 'caIssuers'],
  );
  assert.deepEqual(
    certificate.certificatePolicies?.map(({ oid }) => oid),
    ['1.2.3', oids.anyPolicy],
  );
  assert.deepEqual(certificate.policyMappings, [
    { issuerDomainPolicy: '1.2.3', subjectDomainPolicy: '1.2.4' },
  ]);
  assert.deepEqual(certificate.policyConstraints, {
    requireExplicitPolicy: 0,
    inhibitPolicyMapping: 300,
  });
  assert.equal(certificate.inhibitAnyPolicy, 1);
  assert.deepEqual(certificate.unknownCriticalExtensions, ['1.2.3.4.5']);
  assert.match(
    new X509Certificate(certificate.raw).subjectAltName ?? '',
    /DNS:a\.example.*URI:spiffe:\/\/a\.example\/b/,
  );
});

test('serial numbers are facts, whatever a validator will think of them', async () => {
  const read = async (content: string): Promise<Certificate> =>
    parseCertificate(
      await raw(v3, der.integerOctets(fromHex(content) ?? new Uint8Array()), ...body),
    );
  for (const [content, hex] of [
    ['01', '01'],
    ['00', '00'],
    ['0080', '80'],
    ['80', '-80'],
    ['ff', '-ff'],
    ['7f'.repeat(30), '7f'.repeat(30)],
  ] as const) {
    const { serial, serialHex } = await read(content);
    assert.equal(Buffer.from(serial).toString('hex'), content);
    assert.equal(serialHex, hex);
  }
});

test('version and content of a certificate fit each other', async () => {
  const extensions = der.explicit(3, encodeExtensions([extension.basicConstraints()]));
  const unique = der.context(1, Uint8Array.of(0, 0xff));
  assert.equal(parseCertificate(await raw(one, ...body)).version, 1);
  const v2 = der.explicit(0, one);
  assert.equal(parseCertificate(await raw(v2, one, ...body, unique)).version, 2);
  for (const [parts, code] of [
    [[one, ...body, extensions], 'ERR_CERT_VERSION'],
    [[v2, one, ...body, extensions], 'ERR_CERT_VERSION'],
    [[one, ...body, unique], 'ERR_CERT_VERSION'],
    [[der.explicit(0, der.integer(0)), one, ...body], 'ERR_DER_DEFAULT'],
    [[der.explicit(0, der.integer(3)), one, ...body], 'ERR_DER_VALUE'],
    [[v3, one, ...body, der.explicit(3, der.sequence())], 'ERR_DER_VALUE'],
    [[v3, one, ...body, der.null()], 'ERR_DER_TRAILING'],
  ] as const) {
    await assert.rejects(async () => parseCertificate(await raw(...parts)), { code });
  }
  const bytes = await make();
  assert.throws(() => parseCertificate(new Uint8Array()), { code: 'ERR_DER_TRUNCATED' });
  assert.throws(() => parseCertificate(Buffer.concat([bytes, Buffer.of(0)])), {
    code: 'ERR_DER_TRAILING',
  });
});

test('an altered outer algorithm and an extension that occurs twice are refused', async () => {
  const tbs = buildTbsCertificate(template(), signer.algorithm);
  const other = { ...signer.algorithm, identifier: der.sequence(der.oid('1.2.840.10045.4.3.3')) };
  const bytes = assembleCertificate(tbs, other, await signer.sign(tbs));
  assert.throws(() => parseCertificate(bytes), { code: 'ERR_CERT_ALGORITHM_MISMATCH' });
  const twice = [
    extension.subjectKeyId(Uint8Array.of(1)),
    extension.subjectKeyId(Uint8Array.of(1)),
  ];
  await assert.rejects(async () => parseCertificate(await make({ extensions: twice })), {
    code: 'ERR_CERT_EXTENSION_DUPLICATE',
  });
});

const dnsName = (text: string): Uint8Array => der.context(2, Buffer.from(text));

/** [what is wrong, OID, value]. */
const malformed: readonly (readonly [string, string, Uint8Array])[] = [
  ['cA FALSE encoded', oids.basicConstraints, der.sequence(der.boolean(false))],
  ['negative path length', oids.basicConstraints, der.sequence(der.boolean(true), der.integer(-1))],
  ['something behind', oids.basicConstraints, Buffer.concat([der.sequence(), der.null()])],
  ['no key usage', oids.keyUsage, der.namedBits([])],
  ['a key usage without meaning', oids.keyUsage, der.namedBits([9])],
  ['no extended key usage', oids.extKeyUsage, der.sequence()],
  ['no name', oids.subjectAltName, der.sequence()],
  ['a name of no kind', oids.subjectAltName, der.sequence(der.context(9, Uint8Array.of(1)))],
  ['a name that is not ASCII', oids.subjectAltName, der.sequence(dnsName('ä'))],
  ['empty name constraints', oids.nameConstraints, der.sequence()],
  ['an empty list of subtrees', oids.nameConstraints, der.sequence(der.explicit(0))],
  [
    'a minimum',
    oids.nameConstraints,
    der.sequence(der.explicit(0, der.sequence(dnsName('a'), der.context(0, Uint8Array.of(1))))),
  ],
  [
    'an issuer without serial',
    oids.authorityKeyIdentifier,
    der.sequence(der.explicit(1, dnsName('a'))),
  ],
  ['a point without name', oids.crlDistributionPoints, der.sequence(der.sequence())],
  ['no access', oids.authorityInfoAccess, der.sequence()],
  [
    'a policy twice',
    oids.certificatePolicies,
    der.sequence(der.sequence(der.oid('1.2.3')), der.sequence(der.oid('1.2.3'))),
  ],
  ['no policy constraint', oids.policyConstraints, der.sequence()],
  ['a negative skip', oids.inhibitAnyPolicy, der.integer(-1)],
  ['no DER at all', oids.subjectKeyIdentifier, Uint8Array.of(1, 2, 3)],
];

test('a malformed extension is named, with what is wrong and where', async () => {
  for (const [what, oid, value] of malformed) {
    const bytes = await withExtension(oid, value);
    assert.throws(
      () => parseCertificate(bytes),
      (thrown: Error & { code?: string; fields?: Record<string, unknown>; cause?: unknown }) => {
        assert.equal(thrown.code, 'ERR_CERT_EXTENSION', what);
        assert.equal(thrown.fields?.oid, oid, what);
        const offset = Number(thrown.fields?.offset);
        const start = Buffer.from(bytes).indexOf(value);
        assert.ok(
          offset >= start && offset <= start + value.byteLength,
          `${what}: ${offset} is not near ${start}`,
        );
        assert.equal((thrown.cause as Error).name, 'DerError');
        return true;
      },
      what,
    );
  }
});

test('an encoded FALSE for critical and an unknown extension behave as RFC 5280 says', async () => {
  const part = (...inside: readonly Uint8Array[]): Uint8Array =>
    der.sequence(der.oid('1.2.3'), ...inside);
  const value = der.octetString(Uint8Array.of(0xde, 0xad));
  const plain = parseCertificate(await withExtensions(part(value)));
  assert.deepEqual(plain.unknownCriticalExtensions, []);
  assert.deepEqual(plain.extensions, [
    { oid: '1.2.3', critical: false, value: Uint8Array.of(0xde, 0xad) } satisfies Extension,
  ]);
  const explicit = await withExtensions(part(der.boolean(false), value));
  assert.throws(() => parseCertificate(explicit), { code: 'ERR_DER_DEFAULT' });
});

test('all certificates of a PEM text are read in order, and a text without is refused', async () => {
  const pem = [await make(), await make({ serial: Uint8Array.of(7) })].map((bytes) =>
    encodePem('CERTIFICATE', bytes),
  );
  assert.deepEqual(
    certificatesFromPem(`x\n${pem.join('y\n')}`).map(({ serialHex }) => serialHex),
    ['8001', '07'],
  );
  assert.throws(() => certificatesFromPem(encodePem('X509 CRL', Uint8Array.of(1))), {
    code: 'ERR_PEM_NONE',
  });
});
