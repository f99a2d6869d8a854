import { type KeyObject, randomBytes } from 'node:crypto';

interface CurveParameters {
  readonly p: bigint;
  readonly n: bigint;
  readonly octets: number;
}

/** SEC 2 §2.4; both have a = -3. */
const curves: Readonly<Record<string, CurveParameters>> = {
  'P-256': {
    p: 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn,
    n: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    octets: 32,
  },
  'P-384': {
    p: 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffffn,
    n: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
    octets: 48,
  },
};

type Point = readonly [x: bigint, y: bigint] | undefined;

const generators: Readonly<Record<string, Point>> = {
  'P-256': [
    0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296n,
    0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5n,
  ],
  'P-384': [
    0xaa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7n,
    0x3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5fn,
  ],
};

/**
 * r and s side by side over a digest, as tokens and key services sign. Node signs data alone, so that doubles of theirs
 * need this; slow, leaky, and for tests only.
 */
export function ecdsaOverDigest(key: KeyObject, digest: Uint8Array): Uint8Array {
  const { crv = '', d = '' } = key.export({ format: 'jwk' });
  const curve = curves[crv];
  const generator = generators[crv];
  if (curve === undefined || generator === undefined) throw new TypeError(`no curve ${crv}`);
  const { n, octets } = curve;
  const z = toNumber(digest.subarray(0, octets));
  for (;;) {
    const k = toNumber(randomBytes(octets)) % n;
    const r = (multiply(k, generator, curve)?.[0] ?? 0n) % n;
    const secret = toNumber(Buffer.from(d, 'base64url'));
    const s = modulo(inverse(k, n) * (z + r * secret), n);
    if (k === 0n || r === 0n || s === 0n) continue;
    return new Uint8Array(Buffer.concat([toOctets(r, octets), toOctets(s, octets)]));
  }
}

function multiply(k: bigint, point: Point, curve: CurveParameters): Point {
  let sum: Point;
  let addend = point;
  for (let left = k; left > 0n; left >>= 1n) {
    if ((left & 1n) === 1n) sum = add(sum, addend, curve);
    addend = add(addend, addend, curve);
  }
  return sum;
}

function add(a: Point, b: Point, { p }: CurveParameters): Point {
  if (a === undefined || b === undefined) return a ?? b;
  const [ax, ay] = a;
  const [bx, by] = b;
  if (ax === bx && modulo(ay + by, p) === 0n) return undefined;
  const slope =
    ax === bx ? (3n * ax * ax - 3n) * inverse(2n * ay, p) : (by - ay) * inverse(bx - ax, p);
  const x = modulo(slope * slope - ax - bx, p);
  return [x, modulo(slope * (ax - x) - ay, p)];
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [a, b, u, v] = [modulo(value, modulus), modulus, 1n, 0n];
  while (b !== 0n) {
    const quotient = a / b;
    [a, b] = [b, a - quotient * b];
    [u, v] = [v, u - quotient * v];
  }
  return modulo(u, modulus);
}

function modulo(value: bigint, modulus: bigint): bigint {
  const rest = value % modulus;
  return rest < 0n ? rest + modulus : rest;
}

function toNumber(octets: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(octets).toString('hex') || '0'}`);
}

function toOctets(value: bigint, octets: number): Buffer {
  return Buffer.from(value.toString(16).padStart(octets * 2, '0'), 'hex');
}
