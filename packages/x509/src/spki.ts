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
  return { raw: reader.since(start), algorithm, bits };
}

/** Of a public key, or of the public half of a private one. */
export function spkiOf(key: KeyObject): SubjectPublicKeyInfo {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const spki = parseSpki(publicKey.export({ format: 'der', type: 'spki' }));
  keysBySpki.set(spki, publicKey);
  return spki;
}

/**
 * The key for `node:crypto`. Imported once per object, and once per bytes while among the last {@link keptKeys}: a
 * chain that arrives with every handshake costs its imports once.
 *
 * @throws CountersignError ERR_KEY_MALFORMED, ERR_KEY_UNSUPPORTED; ERR_KEY_WEAK only beyond the largest size
 */
export function publicKeyOf(spki: SubjectPublicKeyInfo): KeyObject {
  const known = keysBySpki.get(spki);
  if (known !== undefined) return known;
  const text = Buffer.from(spki.raw.buffer, spki.raw.byteOffset, spki.raw.byteLength).toString(
    'latin1',
  );
  const key = keysByBytes.get(text) ?? importKey(spki);
  keysBySpki.set(spki, key);
  if (keysByBytes.size >= keptKeys) {
    const [oldest = text] = keysByBytes.keys();
    keysByBytes.delete(oldest);
  }
  keysByBytes.set(text, key);
  return key;
}

const keysBySpki = new WeakMap<SubjectPublicKeyInfo, KeyObject>();
const keysByBytes = new Map<string, KeyObject>();
const keptKeys = 256;

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
