import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBase64, fromHex, toHex } from './bytes.ts';

test('hexadecimal is read in either case, with colons between bytes and nowhere else', () => {
  for (const text of ['', '00ff', '00FF', '00:ff', '0a0b:0c']) {
    assert.equal(toHex(fromHex(text) ?? Uint8Array.of(1)), text.toLowerCase().replaceAll(':', ''));
  }
  for (const text of ['0', '0g', ' 00', '0:0', '0:00:0', ':00', '00:', '00::ff', '00\n']) {
    assert.equal(fromHex(text), undefined, text);
  }
});

test('base64 has one spelling', () => {
  assert.deepEqual(fromBase64('AA=='), Uint8Array.of(0));
  for (const text of ['AA', 'AA=', 'AB==', 'A A=', 'AA==\n', '-_==']) {
    assert.equal(fromBase64(text), undefined, text);
  }
});
