import { createPublicKey, hash } from 'node:crypto';
import { CountersignError, concatBytes, messageOf } from '@countersign/base';
import { type SubjectPublicKeyInfo, spkiOf } from '../spki.ts';
import {
  type TpmAttribute,
  type TpmHash,
  tpmAlg,
  tpmAttributes,
  tpmCurves,
} from './tpm-algorithms.ts';
import { hex, TpmReader } from './tpm-reader.ts';

/** TPMT_PUBLIC (part 2 §12.2.4) of an asymmetric key: what a TPM says about a key that it holds. */
export interface TpmPublic {
  readonly raw: Uint8Array;
  readonly nameAlg: TpmHash;
  readonly attributes: ReadonlySet<TpmAttribute>;
  readonly authPolicy: Uint8Array;
  /** Of a parent such as an endorsement key; undefined for what signs. */
  readonly symmetric: { readonly keyBits: number } | undefined;
  readonly spki: SubjectPublicKeyInfo;
  /** Part 1 §16: the name algorithm, and its digest of `raw`. */
  readonly name: Uint8Array;
}

/** Modulus of 4096 bits, the largest that TPMs have. */
const mostRsaOctets = 512;
const mostDigestOctets = 64;

/**
 * Whole, of RSA or of a NIST curve.
 *
 * @throws CountersignError ERR_TPM_FORM, ERR_TPM_UNSUPPORTED
 */
export function parseTpmPublic(bytes: Uint8Array): TpmPublic {
  const reader = new TpmReader(bytes, 'TPMT_PUBLIC');
  const type = reader.u16('type');
  const readKey =
    keyReaders.get(type) ?? reader.unsupported(`type ${hex(type)}, neither RSA nor ECC`);
  const nameAlg = reader.hash('nameAlg');
  const attributes = attributesOf(reader.u32('objectAttributes'));
  const authPolicy = reader.sized('authPolicy', mostDigestOctets);
  const symmetric = readSymmetric(reader);
  const spki = readKey(reader);
  reader.end();
  const digest = hash(nameAlg.name, bytes, 'buffer');
  const name = concatBytes(Uint8Array.of(nameAlg.id >>> 8, nameAlg.id & 0xff), digest);
  return { raw: bytes, nameAlg, attributes, authPolicy, symmetric, spki, name };
}

const keyReaders = new Map<number, (reader: TpmReader) => SubjectPublicKeyInfo>([
  [tpmAlg.rsa, readRsa],
  [tpmAlg.ecc, readEcc],
]);

function attributesOf(bits: number): ReadonlySet<TpmAttribute> {
  const all = Object.entries(tpmAttributes) as [TpmAttribute, number][];
  return new Set(all.flatMap(([name, bit]) => ((bits & bit) === 0 ? [] : [name])));
}

/** TPMT_SYM_DEF_OBJECT */
function readSymmetric(reader: TpmReader): TpmPublic['symmetric'] {
  const algorithm = reader.u16('symmetric');
  if (algorithm === tpmAlg.null) return undefined;
  if (algorithm !== tpmAlg.aes) reader.unsupported(`symmetric algorithm ${hex(algorithm)}`);
  const keyBits = reader.u16('symmetric key bits');
  const mode = reader.u16('symmetric mode');
  if (![128, 192, 256].includes(keyBits) || mode !== tpmAlg.cfb) {
    reader.unsupported(`AES of ${keyBits} bits in mode ${hex(mode)}, CFB is understood`);
  }
  return { keyBits };
}

/** How many octets of details a scheme has: the hash of those that have one. */
const rsaSchemes = new Map<number, number>([
  [tpmAlg.null, 0],
  [tpmAlg.rsaes, 0],
  [tpmAlg.rsassa, 2],
  [tpmAlg.rsapss, 2],
  [tpmAlg.oaep, 2],
]);
const eccSchemes = new Map<number, number>([
  [tpmAlg.null, 0],
  [tpmAlg.ecdsa, 2],
  [tpmAlg.ecdh, 2],
]);

function skipScheme(reader: TpmReader, schemes: ReadonlyMap<number, number>): void {
  const scheme = reader.u16('scheme');
  const octets = schemes.get(scheme) ?? reader.unsupported(`scheme ${hex(scheme)}`);
  reader.take(octets, 'hash of the scheme');
}

function readRsa(reader: TpmReader): SubjectPublicKeyInfo {
  skipScheme(reader, rsaSchemes);
  const bits = reader.u16('key bits');
  // Part 2 §12.2.3.5: zero stands for the usual one.
  const exponent = reader.u32('exponent') || 65_537;
  const modulus = reader.sized('modulus', mostRsaOctets);
  if (modulus.byteLength * 8 !== bits || (modulus[0] ?? 0) < 0x80) {
    reader.fail(`modulus of ${modulus.byteLength} octets, its key is to have ${bits} bits`);
  }
  const e = Buffer.from(exponent.toString(16).padStart(8, '0'), 'hex');
  return keyOf(reader, {
    kty: 'RSA',
    n: text(modulus),
    e: text(e.subarray(e.findIndex((b) => b > 0))),
  });
}

function readEcc(reader: TpmReader): SubjectPublicKeyInfo {
  skipScheme(reader, eccSchemes);
  const id = reader.u16('curve');
  const curve = tpmCurves.find((each) => each.id === id) ?? reader.unsupported(`curve ${hex(id)}`);
  const kdf = reader.u16('kdf');
  if (kdf !== tpmAlg.null) reader.unsupported(`key derivation ${hex(kdf)}`);
  const [x, y] = [reader.sized('x', curve.octets), reader.sized('y', curve.octets)];
  return keyOf(reader, {
    kty: 'EC',
    crv: curve.name,
    x: text(padded(x, curve.octets)),
    y: text(padded(y, curve.octets)),
  });
}

/** Left with zeros: TPMs may leave out those that lead. */
export function padded(bytes: Uint8Array, octets: number): Uint8Array {
  return concatBytes(new Uint8Array(Math.max(0, octets - bytes.byteLength)), bytes);
}

function keyOf(reader: TpmReader, key: Readonly<Record<string, string>>): SubjectPublicKeyInfo {
  try {
    return spkiOf(createPublicKey({ key, format: 'jwk' }));
  } catch (thrown) {
    // such as a point that is not on its curve
    if (thrown instanceof CountersignError) throw thrown;
    return reader.fail(`no such key: ${messageOf(thrown)}`);
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}
