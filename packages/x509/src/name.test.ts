import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DerReader } from './der-reader.ts';
import { der } from './der-writer.ts';
import { encodeGeneralName, formatGeneralName, readGeneralName } from './general-name.ts';
import { formatIpAddress, parseIpAddress, parseIpNetwork } from './ip-address.ts';
import { attributeOf, buildName, formatName, parseName } from './name.ts';

test('a name is built in order and written as RFC 4514 does', () => {
  const name = buildName([
    { type: 'C', value: 'AT' },
    { type: 'O', value: 'Müller, Söhne + Co' },
    { type: 'CN', value: ' #1 "a"\\' },
    { type: 'DC', value: 'x\n' },
  ]);
  assert.equal(formatName(name), 'DC=x\\0a,CN=\\ #1 \\"a\\"\\\\,O=Müller\\, Söhne \\+ Co,C=AT');
  assert.deepEqual(
    name.rdns.flat().map(({ tag }) => tag),
    [0x13, 0x0c, 0x0c, 0x16],
  );
  assert.equal(attributeOf(name, 'CN'), ' #1 "a"\\');
  assert.equal(attributeOf(name, 'OU'), undefined);
  assert.equal(formatName(buildName([])), '');
});

test('a space at either end of a value is escaped, once', () => {
  const written = (value: string) => formatName(buildName([{ type: 'CN', value }]));
  assert.equal(written(' '), 'CN=\\ ');
  assert.equal(written('  '), 'CN=\\ \\ ');
  assert.equal(written('a '), 'CN=a\\ ');
  assert.equal(written('a\\ '), 'CN=a\\\\\\ ');
  assert.equal(written('a\\'), 'CN=a\\\\');
});

test('attributes of several types in one relative name, unknown types and no texts are kept', () => {
  const attribute = (oid: string, value: Uint8Array): Uint8Array =>
    der.sequence(der.oid(oid), value);
  const raw = der.sequence(
    der.setOf(attribute('2.5.4.3', der.utf8('a')), attribute('2.5.4.10', der.utf8('b'))),
    der.setOf(attribute('1.2.3', der.printable('c'))),
    der.setOf(attribute('2.5.4.45', der.bitString(Uint8Array.of(1)))),
  );
  const name = parseName(raw);
  assert.deepEqual(name.raw, raw);
  assert.equal(formatName(name), 'uniqueIdentifier=#03020001,1.2.3=#130163,CN=a+O=b');
});

test('old string types are read, and texts that their type does not have are refused', () => {
  const name = (tag: number, content: string): Uint8Array =>
    der.sequence(
      der.setOf(der.sequence(der.oid('2.5.4.3'), der.element(tag, [Buffer.from(content, 'hex')]))),
    );
  const value = (tag: number, content: string): string | undefined =>
    parseName(name(tag, content)).rdns[0]?.[0]?.value;
  assert.equal(value(0x14, 'e4'), 'ä');
  assert.equal(value(0x1e, '00e4'), 'ä');
  assert.equal(value(0x1c, '0001f600'), '😀');
  for (const [tag, content] of [
    [0x0c, 'c3'],
    [0x0c, 'eda080'],
    [0x13, '5f'],
    [0x16, 'e4'],
    [0x1e, '00'],
    [0x1e, 'd83d'],
    [0x1c, '00110000'],
  ] as const) {
    assert.throws(() => value(tag, content), { code: 'ERR_DER_STRING' }, content);
  }
});

test('values that cannot be encoded are refused with their type', () => {
  for (const attribute of [
    { type: 'CN', value: '' },
    { type: 'CN', value: 'x'.repeat(65) },
    { type: 'C', value: 'Ö' },
    { type: 'DC', value: 'ö' },
    { type: 'CN', value: '\ud800' },
  ] as const) {
    assert.throws(() => buildName([attribute]), { code: 'ERR_DER_STRING' });
  }
});

test('every kind of general name goes both ways', () => {
  const names = [
    ['dns:a.example', { kind: 'dns', value: 'a.example' }],
    ['email:a@b.example', { kind: 'email', value: 'a@b.example' }],
    ['uri:spiffe://a/b', { kind: 'uri', value: 'spiffe://a/b' }],
    ['ip:10.0.0.1', { kind: 'ip', bytes: Uint8Array.of(10, 0, 0, 1) }],
    ['directory:CN=x', { kind: 'directory', name: buildName([{ type: 'CN', value: 'x' }]) }],
    ['registeredId:1.2.3', { kind: 'registeredId', oid: '1.2.3' }],
    ['otherName:1.3.6.1:0500', { kind: 'otherName', oid: '1.3.6.1', value: der.null() }],
    ['ediParty:a5020500', { kind: 'ediParty', raw: Uint8Array.of(0xa5, 2, 5, 0) }],
  ] as const;
  for (const [text, name] of names) {
    const reader = DerReader.over(encodeGeneralName(name), 'name');
    assert.deepEqual(readGeneralName(reader, 'name'), name);
    assert.equal(formatGeneralName(name), text);
    assert.ok(reader.atEnd);
  }
  assert.throws(() => encodeGeneralName({ kind: 'dns', value: 'ä.example' }), {
    code: 'ERR_DER_STRING',
  });
  assert.throws(() => encodeGeneralName({ kind: 'dns', value: 'Ā.example' }), {
    code: 'ERR_DER_STRING',
  });
  assert.throws(() => encodeGeneralName({ kind: 'uri', value: '' }), { code: 'ERR_DER_STRING' });
  assert.throws(() => encodeGeneralName({ kind: 'ip', bytes: new Uint8Array(5) }), {
    code: 'ERR_DER_VALUE',
  });
});

test('addresses and networks go both ways', () => {
  const addresses = [
    ['10.0.0.1', '10.0.0.1'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['1:0:2:0:3:0:4:0', '1:0:2:0:3:0:4:0'],
    ['::ffff:1.2.3.4', '::ffff:102:304'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
  ] as const;
  for (const [written, canonical] of addresses) {
    const bytes = parseIpAddress(written);
    assert.ok(bytes, written);
    assert.equal(formatIpAddress(bytes), canonical);
  }
  for (const wrong of [
    '',
    '1.2.3',
    '01.2.3.4',
    '1.2.3.256',
    'fe80::1%eth0',
    '[::1]',
    '1::2::3',
    '0x7f.1',
  ]) {
    assert.equal(parseIpAddress(wrong), undefined, wrong);
  }
  for (const network of [
    '10.0.0.0/8',
    '0.0.0.0/0',
    '192.168.1.128/25',
    '2001:db8::/33',
    '::1/128',
  ]) {
    const bytes = parseIpNetwork(network);
    assert.ok(bytes, network);
    assert.equal(formatIpAddress(bytes), network);
  }
  for (const wrong of ['10.0.0.1/8', '10.0.0.0/33', '10.0.0.0', '::/129', '10.0.0.0/-1', 'x/8']) {
    assert.equal(parseIpNetwork(wrong), undefined, wrong);
  }
});
