import assert from 'node:assert/strict';
import { checkPrimeSync, generateKeyPairSync, generatePrimeSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { wrongWithModulus } from './weak-rsa.ts';

const generator = 65_537n;

/** A prime as the library of CVE-2017-15361 makes them: k · M + (65537^a mod M), M the product of the first 126 primes. */
function rocaPrime(exponent: bigint): bigint {
  let product = 1n;
  for (let n = 2, count = 0; count < 126; n += 1) {
    if (!checkPrimeSync(BigInt(n))) continue;
    product *= BigInt(n);
    count += 1;
  }
  let power = 1n;
  for (let i = 0n; i < exponent; i += 1n) power = (power * generator) % product;
  for (let k = 1n << 50n; ; k += 1n) {
    const candidate = k * product + power;
    if (checkPrimeSync(candidate)) return candidate;
  }
}

function prime(bits: number): bigint {
  return generatePrimeSync(bits, { bigint: true });
}

describe('a modulus', () => {
  it('of a sound key is not refused', () => {
    for (let i = 0; i < 3; i += 1) {
      const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const { n = '' } = publicKey.export({ format: 'jwk' });
      const modulus = BigInt(`0x${Buffer.from(n, 'base64url').toString('hex')}`);
      assert.equal(wrongWithModulus(modulus), undefined);
    }
  });

  it('with the fingerprint of ROCA is known', () => {
    const modulus = rocaPrime(1234n) * rocaPrime(98_765n);
    assert.match(wrongWithModulus(modulus) ?? '', /fingerprint of ROCA/);
    assert.doesNotMatch(wrongWithModulus(modulus + 2n) ?? '', /ROCA/);
  });

  it('of primes that are close together is factored', () => {
    const p = prime(1024);
    for (const apart of [0n, 2n, 1n << 200n]) {
      let q = p + apart;
      while (!checkPrimeSync(q)) q += 1n;
      assert.match(wrongWithModulus(p * q) ?? '', /Fermat's method finds them in \d+ steps/);
    }
    assert.equal(wrongWithModulus(p * prime(1024)), undefined);
  });

  it('with a small factor is refused', () => {
    assert.equal(wrongWithModulus(751n * prime(2000)), 'is divisible by 751');
    assert.equal(wrongWithModulus(3n * prime(2046)), 'is divisible by 3');
  });
});
