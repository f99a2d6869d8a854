import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DerError } from './der-error.ts';
import { DerReader } from './der-reader.ts';
import { encodeDerTree, readDerTree } from './der-tree.ts';
import { der } from './der-writer.ts';

const bytes = (hex: string): Uint8Array =>
  new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

/** [what is wrong, DER, code]: read as any element. */
const refusedAnywhere: readonly (readonly [string, string, string])[] = [
  ['nothing at all', '', 'ERR_DER_TRUNCATED'],
  ['a lone identifier', '30', 'ERR_DER_TRUNCATED'],
  ['a length beyond the end', '3002 05', 'ERR_DER_TRUNCATED'],
  ['an indefinite length', '3080 0500 0000', 'ERR_DER_LENGTH'],
  ['a long form for a short length', '0481 01 00', 'ERR_DER_LENGTH'],
  ['a leading zero in a length', `0482 0080${'00'.repeat(128)}`, 'ERR_DER_LENGTH'],
  ['a length of five octets', '0485 0100000000', 'ERR_DER_LENGTH'],
  ['a child beyond its parent', '3004 3003 0500 0500', 'ERR_DER_LENGTH'],
  ['a tag number above 30', '1f2000', 'ERR_DER_TAG'],
  ['a constructed OCTET STRING', '2403 040100', 'ERR_DER_TAG'],
  ['a primitive SEQUENCE', '1000', 'ERR_DER_TAG'],
  ['bytes after the end', '0500 00', 'ERR_DER_TRAILING'],
  ['an empty INTEGER', '0200', 'ERR_DER_INTEGER'],
  ['a padded positive INTEGER', '0202 007f', 'ERR_DER_INTEGER'],
  ['a padded negative INTEGER', '0202 ff80', 'ERR_DER_INTEGER'],
  ['a BOOLEAN of 01', '0101 01', 'ERR_DER_BOOLEAN'],
  ['a BOOLEAN of two octets', '0102 ffff', 'ERR_DER_BOOLEAN'],
  ['a NULL with content', '0501 00', 'ERR_DER_VALUE'],
  ['an OID arc with a leading 80', '0603 2a8001', 'ERR_DER_OID'],
  ['an OID that ends within an arc', '0602 2a81', 'ERR_DER_OID'],
  ['an empty OID', '0600', 'ERR_DER_OID'],
  ['a BIT STRING without its first octet', '0300', 'ERR_DER_BIT_STRING'],
  ['eight unused bits', '0302 0800', 'ERR_DER_BIT_STRING'],
  ['unused bits of nothing', '0301 01', 'ERR_DER_BIT_STRING'],
  ['unused bits that are set', '0302 0181', 'ERR_DER_BIT_STRING'],
];

test('every way to be no canonical DER has its code and its offset', () => {
  for (const [name, hex, code] of refusedAnywhere) {
    assert.throws(
      () => readDerTree(bytes(hex)),
      (thrown) => {
        assert.ok(thrown instanceof DerError, name);
        assert.equal(thrown.code, code, name);
        assert.equal(thrown.fields.offset, thrown.offset);
        return true;
      },
      name,
    );
  }
});

type Read = (reader: DerReader) => unknown;

/** [what is wrong, DER, how it is read, code]. */
const refusedThere: readonly (readonly [string, string, Read, string])[] = [
  ['an INTEGER where a SEQUENCE stands', '020100', (r) => r.sequence('x'), 'ERR_DER_TAG'],
  ['an encoded FALSE default', '010100', (r) => r.defaultFalse('x'), 'ERR_DER_DEFAULT'],
  [
    'an unsorted SET OF',
    '3106 020102 020101',
    (r) => r.setOf('x', 0x31, (i) => i.any('x')),
    'ERR_DER_SET_ORDER',
  ],
  ['a named bit list that needs its zeros', '0303 070080', (r) => r.namedBits('x'), 'ok'],
  ['a named bit list of one zero', '0302 0700', (r) => r.namedBits('x'), 'ERR_DER_BIT_STRING'],
  ['a key of 7 bits', '0302 0180', (r) => r.bitString('x'), 'ERR_DER_BIT_STRING'],
  ['a negative count', '0201 ff', (r) => r.smallInteger('x', 9), 'ERR_DER_VALUE'],
  ['a count above the limit', '0201 0a', (r) => r.smallInteger('x', 9), 'ERR_DER_VALUE'],
  ['a huge count', '0209 010000000000000000', (r) => r.smallInteger('x', 9), 'ERR_DER_VALUE'],
  ['an empty SEQUENCE OF', '3000', (r) => r.sequenceOfSome('x'), 'ERR_DER_VALUE'],
  ['an IA5String with an umlaut', '1601 e4', (r) => r.ia5('x'), 'ERR_DER_STRING'],
];

test('what the schema asks for is checked beside the form', () => {
  for (const [name, hex, read, code] of refusedThere) {
    const attempt = (): unknown => read(DerReader.over(bytes(hex), 'x'));
    if (code === 'ok') assert.doesNotThrow(attempt, name);
    else assert.throws(attempt, { name: 'DerError', code }, name);
  }
});

const time = (tag: string, text: string): Uint8Array =>
  der.element(Number.parseInt(tag, 16), [Buffer.from(text)]);

test('times are UTC to the second, in either form', () => {
  const read = (encoded: Uint8Array): number => DerReader.over(encoded, 'time').time('time');
  assert.equal(read(time('17', '500101000000Z')), Date.UTC(1950, 0, 1));
  assert.equal(read(time('18', '19491231235959Z')), Date.UTC(1949, 11, 31, 23, 59, 59));
  assert.equal(read(time('17', '491231235959Z')), Date.UTC(2049, 11, 31, 23, 59, 59));
  assert.equal(read(time('18', '20500101000000Z')), Date.UTC(2050, 0, 1));
  assert.equal(read(time('18', '99991231235959Z')), Date.UTC(9999, 11, 31, 23, 59, 59));
  assert.equal(read(time('17', '240229120000Z')), Date.UTC(2024, 1, 29, 12));
  assert.equal(read(time('18', '20240229120000Z')), Date.UTC(2024, 1, 29, 12));
  for (const wrong of [
    time('17', '2401010000Z'),
    time('17', '240101000000+0000'),
    time('17', '230229000000Z'),
    time('17', '241301000000Z'),
    time('17', '240001000000Z'),
    time('17', '240101240000Z'),
    time('17', '240101000060Z'),
    time('17', '24010100000 Z'),
    time('18', '20500101000000.5Z'),
    time('18', '205001010000Z'),
  ]) {
    assert.throws(() => read(wrong), { code: 'ERR_DER_TIME' }, Buffer.from(wrong).toString());
  }
});

test('what is written is read again', () => {
  const numbers = [0n, 127n, 128n, 255n, 256n, -1n, -128n, -129n, 2n ** 159n, -(2n ** 64n)];
  for (const number of numbers) {
    const content = DerReader.over(der.integer(number), 'x').integer('x');
    const read = BigInt.asIntN(
      content.byteLength * 8,
      BigInt(`0x${Buffer.from(content).toString('hex')}`),
    );
    assert.equal(read, number);
  }
  for (const oid of [
    '0.9.2342.19200300.100.1.1',
    '2.5.4.3',
    '1.2.840.113549.1.1.11',
    '2.999.1',
    '2.25.9007199254740000',
  ]) {
    assert.equal(DerReader.over(der.oid(oid), 'x').oid('x'), oid);
  }
  for (const wrong of [
    '',
    '1',
    '3.1',
    '1.40',
    '1.2.',
    '1.02',
    '1.2.x',
    '1.2.99999999999999999999',
  ]) {
    assert.throws(() => der.oid(wrong), RangeError, wrong);
  }
  assert.deepEqual(DerReader.over(der.namedBits([0, 5, 8]), 'x').namedBits('x'), [0, 5, 8]);
  for (const length of [0, 1, 127, 128, 255, 256, 65_535, 65_536]) {
    const tree = readDerTree(der.octetString(new Uint8Array(length)));
    assert.equal(
      encodeDerTree(tree).byteLength,
      length + (length < 128 ? 2 : length < 256 ? 3 : length < 65_536 ? 4 : 5),
    );
  }
  for (const ms of [Date.UTC(1949, 5), Date.UTC(1950, 0), Date.UTC(2049, 11), Date.UTC(2050, 0)]) {
    const encoded = der.time(ms);
    const reader = DerReader.over(encoded, 'x');
    assert.equal(encoded[0] === 0x17 ? reader.time('x') : reader.generalizedTime('x'), ms);
  }
});

test('size, depth and count are bounded', () => {
  const limits = { maxBytes: 1000, maxDepth: 5, maxElements: 20 };
  const refused = { code: 'ERR_DER_LIMIT' };
  assert.throws(() => readDerTree(der.octetString(new Uint8Array(1000)), limits), refused);
  let nested = der.null();
  for (let depth = 0; depth < 8; depth += 1) nested = der.sequence(nested);
  assert.throws(() => readDerTree(nested, limits), refused);
  const many = der.sequence(...Array.from({ length: 20 }, () => der.null()));
  assert.throws(() => readDerTree(many, limits), refused);
});
