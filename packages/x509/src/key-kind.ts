import { type Denial, denial, equalBytes, messageOf } from '@countersign/base';
import { DerReader } from './der-reader.ts';
import { der } from './der-writer.ts';
import { oids } from './oids.ts';
import { parseRsaPssParameters } from './rsa-pss-parameters.ts';
import type { SubjectPublicKeyInfo } from './spki.ts';

export type Curve = 'P-256' | 'P-384' | 'P-521';

export type KeyKind =
  | { readonly type: 'EC'; readonly curve: Curve }
  /** `bits` of the modulus. */
  | { readonly type: 'RSA'; readonly bits: number }
  /** A key that its own algorithm identifier restricts to RSASSA-PSS. */
  | { readonly type: 'RSA-PSS'; readonly bits: number }
  | { readonly type: 'Ed25519' }
  | { readonly type: 'ML-DSA'; readonly set: 44 | 65 | 87 };

/** `ECDSA P-256`, `RSA 2048`, `Ed25519`. */
export function formatKeyKind(kind: KeyKind): string {
  if (kind.type === 'EC') return `ECDSA ${kind.curve}`;
  if (kind.type === 'ML-DSA') return `ML-DSA-${kind.set}`;
  return kind.type === 'Ed25519' ? 'Ed25519' : `${kind.type} ${kind.bits}`;
}

/** The kind of a well-formed key, weak ones included; undefined where it is malformed or not supported. */
export function keyKindOf(spki: SubjectPublicKeyInfo): KeyKind | undefined {
  return factsOf(spki).kind;
}

/** Whether to trust such a key: ERR_KEY_UNSUPPORTED, ERR_KEY_MALFORMED or ERR_KEY_WEAK otherwise. */
export function judgeKey(
  spki: SubjectPublicKeyInfo,
): { readonly ok: true; readonly kind: KeyKind } | Denial {
  const { kind, problem } = factsOf(spki);
  if (problem !== undefined) return problem;
  if (kind === undefined) throw new TypeError('a key without problem has a kind');
  return { ok: true, kind };
}

interface KeyFacts {
  readonly kind: KeyKind | undefined;
  readonly problem: Denial | undefined;
}

type ReadKey = (spki: SubjectPublicKeyInfo) => KeyFacts;

const smallestRsaBits = 2048;
/** A verification with a larger modulus costs a stranger nothing and us milliseconds. */
const largestRsaBits = 8192;

/** A row a key algorithm, by the OID of the SubjectPublicKeyInfo. */
const readers: ReadonlyMap<string, ReadKey> = new Map<string, ReadKey>([
  [oids.ecPublicKey, readEcKey],
  [oids.rsaEncryption, (spki) => readRsaKey('RSA', spki)],
  [oids.rsassaPss, (spki) => readRsaKey('RSA-PSS', spki)],
  [oids.ed25519, (spki) => readFixedKey({ type: 'Ed25519' }, 32, spki)],
  [oids.mlDsa44, (spki) => readFixedKey({ type: 'ML-DSA', set: 44 }, 1312, spki)],
  [oids.mlDsa65, (spki) => readFixedKey({ type: 'ML-DSA', set: 65 }, 1952, spki)],
  [oids.mlDsa87, (spki) => readFixedKey({ type: 'ML-DSA', set: 87 }, 2592, spki)],
]);

/** By DER of the namedCurve parameter. */
const curves: readonly {
  readonly curve: Curve;
  readonly parameters: Uint8Array;
  readonly octets: number;
}[] = [
  { curve: 'P-256', parameters: der.oid(oids.p256), octets: 32 },
  { curve: 'P-384', parameters: der.oid(oids.p384), octets: 48 },
  { curve: 'P-521', parameters: der.oid(oids.p521), octets: 66 },
];

function factsOf(spki: SubjectPublicKeyInfo): KeyFacts {
  const read = readers.get(spki.algorithm.oid);
  return read?.(spki) ?? unsupported(`key algorithm ${spki.algorithm.oid}`);
}

// RFC 5480 §2.1.1, §2.2: namedCurve alone, and we take uncompressed points alone
function readEcKey(spki: SubjectPublicKeyInfo): KeyFacts {
  const { parameters } = spki.algorithm;
  const row = curves.find((candidate) => equalBytes(candidate.parameters, parameters ?? empty));
  if (row === undefined) return unsupported('an EC key on none of P-256, P-384, P-521 by name');
  const expected = 1 + 2 * row.octets;
  if (spki.bits.byteLength !== expected || spki.bits[0] !== 0x04) {
    const sides = `${spki.bits.byteLength} octets starting ${spki.bits[0]}, ${expected} starting 4 expected`;
    return malformed(`${row.curve} point of ${sides}`);
  }
  return { kind: { type: 'EC', curve: row.curve }, problem: undefined };
}

// RFC 3279 §2.3.1, RFC 4055 §3.1
function readRsaKey(type: 'RSA' | 'RSA-PSS', spki: SubjectPublicKeyInfo): KeyFacts {
  try {
    const { parameters } = spki.algorithm;
    if (type === 'RSA' && !equalBytes(parameters ?? empty, der.null())) {
      return malformed('RSA key whose algorithm parameters are not NULL');
    }
    if (type === 'RSA-PSS' && parameters !== undefined) parseRsaPssParameters(parameters);
    const reader = DerReader.over(spki.bits, 'RSA public key');
    const inner = reader.sequence('RSA public key');
    reader.end('RSA public key');
    const modulus = inner.integer('RSA modulus');
    const exponent = inner.integer('RSA exponent');
    inner.end('RSA public key');
    return judgeRsa(type, modulus, exponent);
  } catch (thrown) {
    return malformed(messageOf(thrown));
  }
}

function judgeRsa(type: 'RSA' | 'RSA-PSS', modulus: Uint8Array, exponent: Uint8Array): KeyFacts {
  const isOdd = ((modulus.at(-1) ?? 0) & 1) === 1 && ((exponent.at(-1) ?? 0) & 1) === 1;
  if ((modulus[0] ?? 0) >= 0x80 || (exponent[0] ?? 0) >= 0x80 || !isOdd) {
    return malformed('RSA modulus or exponent is negative or even');
  }
  const bits = bitLength(modulus);
  const kind: KeyKind = { type, bits };
  if (bits < smallestRsaBits || bits > largestRsaBits) {
    const sides = `${bits} bits, ${smallestRsaBits} to ${largestRsaBits} are accepted`;
    return { kind, problem: denial('ERR_KEY_WEAK', `RSA key of ${sides}`, { bits }) };
  }
  if (bitLength(exponent) < 2 || bitLength(exponent) > 64) {
    const detail = `RSA exponent of ${bitLength(exponent)} bits, 2 to 64 are accepted`;
    return { kind, problem: denial('ERR_KEY_WEAK', detail, { bits }) };
  }
  return { kind, problem: undefined };
}

// RFC 8410 §3, RFC 9881 §4: parameters MUST be absent
function readFixedKey(kind: KeyKind, octets: number, spki: SubjectPublicKeyInfo): KeyFacts {
  if (spki.algorithm.parameters !== undefined) {
    return malformed(`${formatKeyKind(kind)} key with algorithm parameters`);
  }
  if (spki.bits.byteLength !== octets) {
    const sides = `${spki.bits.byteLength} octets, ${octets} expected`;
    return malformed(`${formatKeyKind(kind)} key of ${sides}`);
  }
  return { kind, problem: undefined };
}

function bitLength(content: Uint8Array): number {
  const skip = content[0] === 0 ? 1 : 0;
  const octets = content.byteLength - skip;
  return octets === 0 ? 0 : octets * 8 - (Math.clz32(content[skip] ?? 0) - 24);
}

function unsupported(detail: string): KeyFacts {
  return { kind: undefined, problem: denial('ERR_KEY_UNSUPPORTED', detail) };
}

function malformed(detail: string): KeyFacts {
  return { kind: undefined, problem: denial('ERR_KEY_MALFORMED', detail) };
}

const empty = new Uint8Array(0);
