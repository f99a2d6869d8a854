const p1 = 0x9e37_79b1_85eb_ca87n;
const p2 = 0xc2b2_ae3d_27d4_eb4fn;
const p3 = 0x1656_67b1_9e37_79f9n;
const p4 = 0x85eb_ca77_c2b2_ae63n;
const p5 = 0x27d4_eb2f_1656_67c5n;

/**
 * xxHash64 (Yann Collet's specification 0.1.1), which places endpoints and requests on a ring as Envoy's does. It is no
 * cryptography: whoever chooses what is hashed chooses where it lands.
 */
export function xxHash64(text: string, seed = 0n): bigint {
  const bytes = Buffer.from(text, 'utf8');
  const length = bytes.length;
  let at = 0;
  let hash: bigint;
  if (length >= 32) {
    let [a, b, c, d] = [wrap(seed + p1 + p2), wrap(seed + p2), seed, wrap(seed - p1)];
    for (; at + 32 <= length; at += 32) {
      a = round(a, bytes.readBigUInt64LE(at));
      b = round(b, bytes.readBigUInt64LE(at + 8));
      c = round(c, bytes.readBigUInt64LE(at + 16));
      d = round(d, bytes.readBigUInt64LE(at + 24));
    }
    hash = wrap(rotated(a, 1n) + rotated(b, 7n) + rotated(c, 12n) + rotated(d, 18n));
    for (const lane of [a, b, c, d]) hash = wrap((hash ^ round(0n, lane)) * p1 + p4);
  } else hash = wrap(seed + p5);
  hash = wrap(hash + BigInt(length));
  for (; at + 8 <= length; at += 8) {
    hash = wrap(rotated(hash ^ round(0n, bytes.readBigUInt64LE(at)), 27n) * p1 + p4);
  }
  if (at + 4 <= length) {
    hash = wrap(rotated(hash ^ wrap(BigInt(bytes.readUInt32LE(at)) * p1), 23n) * p2 + p3);
    at += 4;
  }
  for (; at < length; at += 1) {
    hash = wrap(rotated(hash ^ wrap(BigInt(bytes[at] ?? 0) * p5), 11n) * p1);
  }
  hash = wrap((hash ^ (hash >> 33n)) * p2);
  hash = wrap((hash ^ (hash >> 29n)) * p3);
  return hash ^ (hash >> 32n);
}

/** Of 64 bits. */
export function rotated(value: bigint, by: bigint): bigint {
  return wrap(value << by) | (value >> (64n - by));
}

function round(lane: bigint, input: bigint): bigint {
  return wrap(rotated(wrap(lane + input * p2), 31n) * p1);
}

function wrap(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}
