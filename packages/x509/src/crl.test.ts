import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assembleCertificate } from './build-certificate.ts';
import { buildCrl, type CrlTemplate } from './build-crl.ts';
import { der } from './der-writer.ts';
import { encodeExtensions, extension, keyIdOf } from './extension-builders.ts';
import { formatGeneralName } from './general-name.ts';
import { buildName } from './name.ts';
import { oids } from './oids.ts';
import { crlsFromPem, parseCrl } from './parse-crl.ts';
import { encodePem } from './pem.ts';
import { generateKeyPair } from './private-key.ts';
import { revocationReasons } from './revocation-reason.ts';
import { keySigner, verifySignature } from './signer.ts';

const signer = keySigner((await generateKeyPair({ type: 'EC', curve: 'P-256' })).privateKey);
const issuer = buildName([{ type: 'CN', value: 'CA' }]);
const thisUpdate = Date.UTC(2026, 5, 1);
const nextUpdate = Date.UTC(2055, 0, 1);

const make = (changes: Partial<CrlTemplate> = {}): Promise<Uint8Array> =>
  buildCrl({ signer, issuer, thisUpdate, nextUpdate, crlNumber: 7n, entries: [], ...changes });

async function raw(...parts: readonly Uint8Array[]): Promise<Uint8Array> {
  const tbs = der.sequence(...parts);
  return assembleCertificate(tbs, signer.algorithm, await signer.sign(tbs));
}

const head = [signer.algorithm.identifier, issuer.raw, der.time(thisUpdate), der.time(nextUpdate)];
const entry = (serial: number, ...more: readonly Uint8Array[]): Uint8Array =>
  der.sequence(der.integer(serial), der.time(thisUpdate), ...more);
const listExtensions = (...values: Parameters<typeof encodeExtensions>[0]): Uint8Array =>
  der.explicit(0, encodeExtensions(values));

test('a list goes both ways with every reason', async () => {
  const reasons = Object.keys(revocationReasons) as (keyof typeof revocationReasons)[];
  const entries = reasons.map((reason, i) => ({
    serialHex: (0x80 + i).toString(16),
    date: thisUpdate - 1000 * i,
    reason,
  }));
  const bytes = await make({
    entries: [...entries, { serialHex: '7f', date: 0, invalidityDate: 5000 }],
  });
  const list = parseCrl(bytes);
  assert.ok(verifySignature(signer.spki, list.signatureAlgorithm, list.tbs, list.signature));
  assert.equal(list.version, 2);
  assert.equal(list.crlNumber, 7n);
  assert.deepEqual([list.thisUpdate, list.nextUpdate], [thisUpdate, nextUpdate]);
  assert.deepEqual(list.authorityKeyId?.keyId, keyIdOf(signer.spki));
  assert.deepEqual(
    [...list.entries.values()].map(({ serialHex, date, reason }) => ({ serialHex, date, reason })),
    [...entries, { serialHex: '7f', date: 0, reason: 'unspecified' }],
  );
  assert.equal(list.entries.get('7f')?.invalidityDate, 5000);
  assert.deepEqual(list.raw, bytes);
  assert.equal(crlsFromPem(encodePem('X509 CRL', bytes)).length, 1);
});

test('an empty list, a list of version 1 and the scope of a list are read', async () => {
  assert.equal(parseCrl(await make()).entries.size, 0);
  const old = parseCrl(await raw(...head, der.sequence(entry(1))));
  assert.deepEqual([old.version, old.crlNumber, old.entries.size], [1, undefined, 1]);
  const scoped = parseCrl(
    await make({
      extensions: [
        extension.issuingDistributionPoint({
          uris: ['http://crl.example/1'],
          onlyContainsUserCerts: true,
        }),
        extension.deltaCrlIndicator(3n),
        extension.other('1.2.3', true, der.null()),
      ],
    }),
  );
  assert.equal(scoped.issuingDistributionPoint?.onlyContainsUserCerts, true);
  assert.deepEqual(scoped.issuingDistributionPoint?.fullName.map(formatGeneralName), [
    'uri:http://crl.example/1',
  ]);
  assert.equal(scoped.deltaCrlBase, 3n);
  assert.deepEqual(scoped.unknownCriticalExtensions, ['1.2.3']);
});

test('an unknown critical extension of an entry is told', async () => {
  const extensions = encodeExtensions([extension.other('1.2.3', true, der.null())]);
  const list = parseCrl(await raw(der.integer(1), ...head, der.sequence(entry(1, extensions))));
  assert.deepEqual(list.unknownCriticalExtensions, ['1.2.3']);
});

test('a malformed list is refused with its reason', async () => {
  const v2 = der.integer(1);
  const reason = (value: Uint8Array): Uint8Array =>
    encodeExtensions([extension.other(oids.reasonCode, false, value)]);
  const cases: readonly (readonly [string, Promise<Uint8Array>, string])[] = [
    ['version 3', raw(der.integer(2), ...head), 'ERR_CRL_VERSION'],
    ['version 1 encoded', raw(der.integer(0), ...head), 'ERR_CRL_VERSION'],
    [
      'extensions of version 1',
      raw(...head, listExtensions(extension.crlNumber(1n))),
      'ERR_CRL_VERSION',
    ],
    [
      'entry extensions of version 1',
      raw(...head, der.sequence(entry(1, reason(der.enumerated(1))))),
      'ERR_CRL_VERSION',
    ],
    ['an empty list of entries', raw(v2, ...head, der.sequence()), 'ERR_DER_VALUE'],
    ['a serial twice', raw(v2, ...head, der.sequence(entry(1), entry(1))), 'ERR_CRL_ENTRY'],
    [
      'reason 7',
      raw(v2, ...head, der.sequence(entry(1, reason(der.enumerated(7))))),
      'ERR_CRL_ENTRY',
    ],
    [
      'a reason that is an INTEGER',
      raw(v2, ...head, der.sequence(entry(1, reason(der.integer(1))))),
      'ERR_CRL_ENTRY',
    ],
    [
      'a negative number',
      raw(v2, ...head, listExtensions(extension.crlNumber(-1n))),
      'ERR_CRL_EXTENSION',
    ],
    [
      'a number of 21 octets',
      raw(v2, ...head, listExtensions(extension.crlNumber(2n ** 160n))),
      'ERR_CRL_EXTENSION',
    ],
    [
      'an extension twice',
      raw(v2, ...head, listExtensions(extension.crlNumber(1n), extension.crlNumber(1n))),
      'ERR_CRL_EXTENSION',
    ],
    ['something behind', raw(v2, ...head, der.null()), 'ERR_DER_TRAILING'],
  ];
  for (const [what, bytes, code] of cases) {
    await assert.rejects(async () => parseCrl(await bytes), { code }, what);
  }
});

test('a list of 20,000 entries is built and read in linear time', async () => {
  const entries = Array.from({ length: 20_000 }, (_, i) => ({
    serialHex: `01${i.toString(16).padStart(30, '0')}`,
    date: thisUpdate,
    reason: 'superseded' as const,
  }));
  const started = performance.now();
  const list = parseCrl(await make({ entries }));
  assert.ok(performance.now() - started < 20_000);
  assert.equal(list.entries.size, 20_000);
});
