import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { positionOfSerial, serialForPosition } from './serial-position.ts';

test('a serial carries its ledger position and nothing of it is lost', () => {
  const position = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
  const random = fc.uint8Array({ minLength: 12, maxLength: 12 });
  fc.assert(
    fc.property(position, random, (at, twelve) => {
      const serial = serialForPosition(at, twelve);
      assert.equal(serial.byteLength, 20);
      assert.equal(serial[0], 1, 'positive and minimal as a DER INTEGER');
      assert.equal(positionOfSerial(serial), at);
      assert.deepEqual(serial.subarray(8), twelve);
    }),
  );
});

test('a serial is read from a view inside a larger buffer', () => {
  const serial = serialForPosition(77, randomBytes(12));
  const larger = new Uint8Array(40).fill(0xff);
  larger.set(serial, 7);
  assert.equal(positionOfSerial(larger.subarray(7, 27)), 77);
});

test('serials of other authorities have no position', () => {
  const ours = serialForPosition(5, randomBytes(12));
  assert.equal(positionOfSerial(ours.subarray(1)), undefined);
  assert.equal(positionOfSerial(new Uint8Array(0)), undefined);
  assert.equal(positionOfSerial(Uint8Array.from([...ours, 0])), undefined);
  assert.equal(positionOfSerial(Uint8Array.from([2, ...ours.subarray(1)])), undefined);
  assert.equal(positionOfSerial(Uint8Array.from([1, ...new Uint8Array(19)])), undefined);
  assert.equal(positionOfSerial(new Uint8Array(20).fill(0xff).with(0, 1)), undefined, 'over 2^53');
});

test('impossible positions and short randomness are refused', () => {
  for (const position of [0, -1, 1.5, Number.NaN, 2 ** 53]) {
    assert.throws(() => serialForPosition(position, randomBytes(12)), RangeError);
  }
  assert.throws(() => serialForPosition(1, randomBytes(11)), RangeError);
});
