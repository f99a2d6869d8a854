import { createPublicKey, type KeyObject } from 'node:crypto';
import { CountersignError, errorOfDenial, messageOf } from '@countersign/base';
import { type AlgorithmIdentifier, readAlgorithmIdentifier } from './algorithm-identifier.ts';
import { DerReader } from './der-reader.ts';
import { judgeKey } from './key-kind.ts';

/** RFC 5280 §4.1.2.7. */
export interface SubjectPublicKeyInfo {
  readonly raw: Uint8Array;
  readonly algorithm: AlgorithmIdentifier;
  /** Content of the BIT STRING, which has no unused bits. */
  readonly bits: Uint8Array;
}

/** @throws DerError */
export function parseSpki(bytes: Uint8Array): SubjectPublicKeyInfo {
  const reader = DerReader.over(bytes, 'public key');
  const spki = readSpki(reader, 'public key');
  reader.end('public key');
  return spki;
}

/** Takes a SubjectPublicKeyInfo from the cursor. */
export function readSpki(reader: DerReader, what: string): SubjectPublicKeyInfo {
  const start = reader.offset;
  const inner = reader.sequence(what);
  const algorithm = readAlgorithmIdentifier(inner, what);
  const bits = inner.bitString(what);
  inner.end(what);
  return new KeyInfo(reader.since(start), algorithm, bits);
}

/** Of a public key, or of the public half of a private one. */
export function spkiOf(key: KeyObject): SubjectPublicKeyInfo {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const spki = parseSpki(publicKey.export({ format: 'der', type: 'spki' }));
  KeyInfo.keep(spki, publicKey);
  return spki;
}

/**
 * The key for `node:crypto`, imported once per object: who keeps the object keeps the import.
 *
 * @throws CountersignError ERR_KEY_MALFORMED, ERR_KEY_UNSUPPORTED; ERR_KEY_WEAK only beyond the largest size
 */
export function publicKeyOf(spki: SubjectPublicKeyInfo): KeyObject {
  const known = KeyInfo.keyOf(spki);
  if (known !== undefined) return known;
  const key = importKey(spki);
  KeyInfo.keep(spki, key);
  return key;
}

/** Holds the imported key beside the bytes, unseen: a WeakMap costs the collector more than the import saves. */
class KeyInfo implements SubjectPublicKeyInfo {
  readonly raw: Uint8Array;
  readonly algorithm: AlgorithmIdentifier;
  readonly bits: Uint8Array;
  #key: KeyObject | undefined;

  constructor(raw: Uint8Array, algorithm: AlgorithmIdentifier, bits: Uint8Array) {
    this.raw = raw;
    this.algorithm = algorithm;
    this.bits = bits;
  }

  static keyOf(spki: SubjectPublicKeyInfo): KeyObject | undefined {
    return #key in spki ? spki.#key : undefined;
  }

  static keep(spki: SubjectPublicKeyInfo, key: KeyObject): void {
    if (#key in spki) spki.#key = key;
  }
}

function importKey(spki: SubjectPublicKeyInfo): KeyObject {
  const verdict = judgeKey(spki);
  if (!verdict.ok && (verdict.code !== 'ERR_KEY_WEAK' || Number(verdict.fields.bits) > 8192)) {
    throw errorOfDenial(verdict, 'import public key');
  }
  try {
    return createPublicKey({ key: spki.raw as Buffer, format: 'der', type: 'spki' });
  } catch (thrown) {
    // such as a point that is not on its curve
    const message = `import public key: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_KEY_MALFORMED', message, { cause: thrown });
  }
}
