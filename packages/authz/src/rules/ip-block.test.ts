import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatIp, isInBlock, parseIp, parseIpBlock } from './ip-block.ts';

test('addresses are written as RFC 5952 does, and read back', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['0:0:0:0:0:0:0:0', '::'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1::', '1::'],
    ['::1', '::1'],
    ['::ffff:1.2.3.4', '::ffff:102:304'],
    ['fe80:0:0:0:0:0:0:0', 'fe80::'],
    ['203.0.113.4', '203.0.113.4'],
  ];
  for (const [written, text] of cases) {
    const address = parseIp(written);
    assert.ok(address !== undefined, written);
    assert.equal(formatIp(address), text);
  }
  fc.assert(
    fc.property(fc.ipV6(), (written) => {
      if (!isIPv6(written)) return;
      const address = parseIp(written);
      assert.ok(address?.length === 16);
      assert.deepEqual(parseIp(formatIp(address)), address);
    }),
  );
  for (const none of ['', '1.2.3', '01.2.3.4', 'fe80::1%eth0', '::1::', 'a']) {
    assert.equal(parseIp(none), undefined, none);
  }
});

test('a block holds what shares its first bits, as counted bit by bit', () => {
  const bits = (address: Uint8Array) =>
    [...address].map((octet) => octet.toString(2).padStart(8, '0')).join('');
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ minLength: 4, maxLength: 4 }),
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
      ),
      fc.nat(128),
      fc.nat(127),
      (address, length, flipped) => {
        const prefixBits = Math.min(length, address.length * 8);
        const block = parseIpBlock(`${formatIp(address)}/${prefixBits}`);
        assert.ok(typeof block !== 'string');
        const other = Uint8Array.from(address);
        const at = flipped % (address.length * 8);
        other[at >> 3] = (other[at >> 3] ?? 0) ^ (0x80 >> (at & 7));
        const expected = bits(other).slice(0, prefixBits) === bits(address).slice(0, prefixBits);
        assert.equal(isInBlock(other, block), expected);
        assert.ok(isInBlock(address, block));
      },
    ),
  );
  for (const wrong of ['1.2.3.4/33', '::1/129', '1.2.3.4/08', '1.2.3.4/', '1.2.3.4/+1', 'x/8']) {
    assert.equal(typeof parseIpBlock(wrong), 'string', wrong);
  }
});
