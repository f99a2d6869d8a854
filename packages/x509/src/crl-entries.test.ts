import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { assembleCertificate } from './build-certificate.ts';
import { buildCrl } from './build-crl.ts';
import { type Crl, type CrlEntry, entriesOf } from './crl.ts';
import { CrlEntryTable } from './crl-entry-table.ts';
import { CrlEntryWriter, type RevokedCertificate } from './crl-entry-writer.ts';
import { crlLimits } from './der-limits.ts';
import { der } from './der-writer.ts';
import { type encodeExtensions, extension } from './extension-builders.ts';
import { formatGeneralName } from './general-name.ts';
import { buildName } from './name.ts';
import { oids } from './oids.ts';
import { parseCrl, parseCrlPausing } from './parse-crl.ts';
import { generateKeyPair } from './private-key.ts';
import { type RevocationReason, revocationReasons } from './revocation-reason.ts';
import { keySigner } from './signer.ts';

const signer = keySigner((await generateKeyPair({ type: 'EC', curve: 'P-256' })).privateKey);
const issuer = buildName([{ type: 'CN', value: 'CA' }]);
const [first, second] = ['first', 'second'].map((value) => buildName([{ type: 'CN', value }]));
const at = Date.UTC(2026, 4, 1, 12, 34, 56);
const indirect = extension.issuingDistributionPoint({ indirectCrl: true });

async function listOf(
  entries: Iterable<RevokedCertificate> | CrlEntryWriter,
  ...extensions: Parameters<typeof encodeExtensions>[0]
): Promise<Crl> {
  const template = { signer, issuer, thisUpdate: at, nextUpdate: at + 1000, crlNumber: 1n };
  return parseCrl(await buildCrl({ ...template, entries, extensions }));
}

const reasons = Object.keys(revocationReasons) as RevocationReason[];
const entry = fc.record({
  serialHex: fc
    .uint8Array({ minLength: 1, maxLength: 48 })
    .filter(([octet = 0]) => octet !== 0)
    .map((bytes) => Buffer.from(bytes).toString('hex')),
  date: fc.integer({ min: 0, max: 4e9 }).map((seconds) => seconds * 1000),
  reason: fc.constantFrom(...reasons),
  invalidityDate: fc.option(fc.constantFrom(0, at), { nil: undefined, freq: 5 }),
});
const distinct = fc.uniqueArray(entry, { selector: ({ serialHex }) => serialHex, maxLength: 300 });

test('whatever entries are written are found by their serial numbers, and no others', async () => {
  const property = fc.asyncProperty(
    distinct,
    fc.array(entry, { maxLength: 20 }),
    async (entries, others) => {
      const list = await listOf(entries);
      const expected = entries.map((one) => ({ ...one, certificateIssuer: undefined }));
      assert.deepEqual([...list.entries.values()].map(plain), expected.map(plain));
      assert.equal(list.entries.size, entries.length);
      for (const one of expected) {
        assert.deepEqual(plain(list.entries.get(one.serialHex)), plain(one));
        assert.ok(list.entries.has(one.serialHex));
      }
      const known = new Set(entries.map(({ serialHex }) => serialHex));
      for (const { serialHex } of others)
        assert.equal(list.entries.has(serialHex), known.has(serialHex));
    },
  );
  await fc.assert(property, { numRuns: 60, interruptAfterTimeLimit: 1500 });
});

/** Whatever the order of the fields. */
function plain(one: CrlEntry | RevokedCertificate | undefined): unknown {
  const { serialHex, date, reason, invalidityDate } = one ?? {};
  return { serialHex, date, reason, invalidityDate };
}

test('a table is a map: keys, values, pairs and forEach, in the order of the list', async () => {
  const entries = ['0a', '80', 'ff01'].map((serialHex) => ({ serialHex, date: at }));
  const { entries: table } = await listOf(entries);
  assert.deepEqual([...table.keys()], ['0a', '80', 'ff01']);
  assert.deepEqual(
    [...table].map(([key, { serialHex }]) => key === serialHex),
    [true, true, true],
  );
  const seen: string[] = [];
  table.forEach(({ date }, key, whole) => {
    seen.push(`${key} ${date === at} ${whole === table}`);
  });
  assert.deepEqual(seen, ['0a true true', '80 true true', 'ff01 true true']);
  for (const none of ['', '0', '0A', '000a', '-0a', 'zz', '€€', 'ff', 'ff'.repeat(200)]) {
    assert.equal(table.get(none), undefined, none);
  }
});

test('serial numbers that conform to nothing are found too', async () => {
  const head = [signer.algorithm.identifier, issuer.raw, der.time(at)];
  const contents = ['00', 'ff', '80', '0080', 'ff00', '7f'.repeat(127)];
  const entries = contents.map((hex) =>
    der.sequence(der.integerOctets(Buffer.from(hex, 'hex')), der.time(at)),
  );
  const of = async (...listed: readonly Uint8Array[]): Promise<Crl> => {
    const tbs = der.sequence(...head, der.sequence(...listed));
    return parseCrl(assembleCertificate(tbs, signer.algorithm, await signer.sign(tbs)));
  };
  const list = await of(...entries);
  assert.deepEqual([...list.entries.keys()], ['00', '-ff', '-80', '80', '-ff00', '7f'.repeat(127)]);
  for (const key of list.entries.keys()) assert.equal(list.entries.get(key)?.serialHex, key);
  const long = der.sequence(der.integerOctets(new Uint8Array(128).fill(1)), der.time(at));
  await assert.rejects(of(long), { code: 'ERR_DER_LIMIT' });
});

test('entries that are written are right to the second, over days and forms of time', async () => {
  const day = 86_400_000;
  const times = [
    0,
    999,
    day - 1,
    day,
    at,
    Date.UTC(2049, 11, 31, 23, 59, 59),
    Date.UTC(2050, 0, 1),
    -1000,
  ];
  const entries = times.map((date, i) => ({ serialHex: `4${i}`, date }));
  const list = await listOf(entries);
  assert.deepEqual(
    [...list.entries.values()].map(({ date }) => date),
    times.map((time) => Math.floor(time / 1000) * 1000),
  );
  const writer = new CrlEntryWriter();
  for (const serialHex of ['', '0', 'xy', '0g', 'é0']) {
    assert.throws(() => writer.add({ serialHex, date: at }), RangeError, serialHex);
  }
  assert.throws(() => writer.add({ serialHex: '01', date: Number.NaN }), RangeError);
  assert.throws(() => writer.add({ serialHex: '01', date: Date.UTC(10_000, 0, 1) }), RangeError);
  assert.equal(writer.count, 0);
  assert.deepEqual(
    writer.pieces.map(({ byteLength }) => byteLength),
    [0],
  );
});

test('a writer is kept from one list to the next', async () => {
  const writer = new CrlEntryWriter();
  for (let i = 0; i < 10_000; i += 1)
    writer.add({ serialHex: (0x100000 + i).toString(16), date: at });
  assert.equal((await listOf(writer)).entries.size, 10_000);
  writer.add({ serialHex: 'abcdef', date: at, reason: 'keyCompromise' });
  const list = await listOf(writer);
  assert.equal(list.entries.size, 10_001);
  assert.equal(list.entries.get('abcdef')?.reason, 'keyCompromise');
  assert.equal(list.entries.get('102000')?.reason, 'unspecified');
});

test('an indirect list says once whose certificates follow, and has a serial of several issuers', async () => {
  const entries: RevokedCertificate[] = [
    { serialHex: '01', date: at },
    { serialHex: '02', date: at, certificateIssuer: first, reason: 'superseded' },
    { serialHex: '03', date: at, certificateIssuer: first, reason: 'superseded' },
    { serialHex: '01', date: at, certificateIssuer: second, invalidityDate: at },
    { serialHex: '04', date: at, certificateIssuer: issuer },
  ];
  const list = await listOf(entries, indirect);
  const issuers = [...list.entries.values()].map(({ serialHex, certificateIssuer }) => [
    serialHex,
    certificateIssuer?.map(formatGeneralName).join(),
  ]);
  assert.deepEqual(issuers, [
    ['01', undefined],
    ['02', 'directory:CN=first'],
    ['03', 'directory:CN=first'],
    ['01', 'directory:CN=second'],
    ['04', 'directory:CN=CA'],
  ]);
  assert.equal(entriesOf(list, '01').length, 2);
  assert.equal(entriesOf(list, '03').length, 1);
  assert.deepEqual(entriesOf(list, '05'), []);
  assert.deepEqual(list.unknownCriticalExtensions, []);
  assert.equal(list.tbs.byteLength, (await listOf(entries, indirect)).tbs.byteLength);
  await assert.rejects(listOf(entries), { code: 'ERR_CRL_ENTRY' });
  const unnamed = [...entries, { serialHex: '05', date: at }];
  await assert.rejects(listOf(unnamed, indirect), RangeError);
});

test('many issuers in one list are told apart at every entry', async () => {
  const names = Array.from({ length: 200 }, (_, i) =>
    buildName([{ type: 'CN', value: `CA ${i}` }]),
  );
  const entries = names.flatMap((certificateIssuer) =>
    ['0a', '0b', '0c'].map((serialHex) => ({ serialHex, date: at, certificateIssuer })),
  );
  const list = await listOf(entries, indirect);
  const expected = names.map((_, i) => `directory:CN=CA ${i}`);
  for (const serialHex of ['0a', '0b', '0c']) {
    const found = entriesOf(list, serialHex).map(({ certificateIssuer = [] }) =>
      certificateIssuer.map(formatGeneralName).join(),
    );
    assert.deepEqual(found, expected);
  }
});

test('serial numbers that collide end the reading, not the process', () => {
  const listed = Array.from({ length: 200 }, (_, i) =>
    der.sequence(der.integer(128 + i), der.time(at)),
  );
  const length = listed[0]?.byteLength ?? 0;
  const bytes = new Uint8Array(Buffer.concat(listed));
  const starts = Uint32Array.from(listed, (_, i) => i * length);
  const decode = (): never => assert.fail('nothing is decoded');
  const fill = (...maxProbes: number[]) => {
    const steps = [...CrlEntryTable.fill(bytes, starts, decode, 64, ...maxProbes)];
    return steps.length;
  };
  assert.equal(fill(), 4);
  // some of them share a slot, whatever the seed
  assert.throws(() => fill(0), { code: 'ERR_DER_LIMIT' });
});

test('a long list is read with pauses, to the same end', async () => {
  const entries = Array.from({ length: 40_000 }, (_, i) => ({
    serialHex: (0x10000000 + 7919 * i).toString(16),
    date: at,
  }));
  const whole = await listOf(entries);
  let pauses = 0;
  const paused = await parseCrlPausing(whole.raw, crlLimits, async () => {
    pauses += 1;
  });
  assert.equal(pauses, 6);
  assert.equal(paused.entries.size, 40_000);
  for (const { serialHex } of entries) assert.ok(paused.entries.has(serialHex), serialHex);
  const spoilt = Uint8Array.from(whole.raw);
  spoilt.fill(0xff, spoilt.byteLength >> 1, (spoilt.byteLength >> 1) + 32);
  await assert.rejects(parseCrlPausing(spoilt, crlLimits, async () => {}));
});

test('entries count against the limits of a document', async () => {
  const entries = Array.from({ length: 1000 }, (_, i) => ({
    serialHex: `1${i % 10}${i}00`.slice(0, 4) + (0x10000 + i).toString(16).slice(1),
    date: at,
  }));
  const bytes = (await listOf(entries)).raw;
  assert.throws(() => parseCrl(bytes, { ...crlLimits, maxElements: 5000 }), {
    code: 'ERR_DER_LIMIT',
  });
  assert.equal(parseCrl(bytes).entries.size, 1000);
});

test('a delta takes certificates off the list it is based on', async () => {
  const list = await listOf(
    [{ serialHex: '01', date: at, reason: 'removeFromCRL' }],
    extension.deltaCrlIndicator(0n),
  );
  assert.equal(list.deltaCrlBase, 0n);
  assert.equal(list.entries.get('01')?.reason, 'removeFromCRL');
  const critical = list.extensions.filter((one) => one.critical).map(({ oid }) => oid);
  assert.deepEqual(critical, [oids.deltaCrlIndicator]);
});
