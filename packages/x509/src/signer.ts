import { type KeyObject, type SignKeyObjectInput, sign, verify } from 'node:crypto';
import { inspect } from 'node:util';
import { CountersignError } from '@countersign/base';
import type { AlgorithmIdentifier } from './algorithm-identifier.ts';
import { DerReader } from './der-reader.ts';
import { formatKeyKind, type KeyKind, keyKindOf } from './key-kind.ts';
import {
  defaultAlgorithmOf,
  type SignatureAlgorithm,
  signatureAlgorithmOf,
} from './signature-algorithms.ts';
import { publicKeyOf, type SubjectPublicKeyInfo, spkiOf } from './spki.ts';

/** Whoever signs: a key in memory, a file, a token. */
export interface Signer {
  readonly spki: SubjectPublicKeyInfo;
  readonly algorithm: SignatureAlgorithm;
  sign(data: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

/**
 * A software key. Signs at once, on the calling thread.
 *
 * @param algorithm another than the key's default, such as RSA-PSS with an RSA key
 * @throws CountersignError ERR_KEY_PRIVATE for what is no private key, ERR_KEY_UNSUPPORTED,
 *   ERR_KEY_SIGNATURE_ALGORITHM where key and algorithm do not fit
 */
export function keySigner(privateKey: KeyObject, algorithm?: SignatureAlgorithm): Signer {
  if (privateKey.type !== 'private') {
    const message = `a signer needs a private key, a ${privateKey.type} one is given`;
    throw new CountersignError('ERR_KEY_PRIVATE', message);
  }
  const spki = spkiOf(privateKey);
  const kind = keyKindOf(spki);
  if (kind === undefined) {
    const message = `key algorithm "${privateKey.asymmetricKeyType}" cannot sign certificates`;
    throw new CountersignError('ERR_KEY_UNSUPPORTED', message);
  }
  const row = algorithm ?? algorithmOf(spki, kind);
  if (!row?.keyTypes.includes(kind.type)) {
    const wanted = row === undefined ? 'parameters of this key' : row.name;
    const message = `${wanted} cannot be used with a key ${formatKeyKind(kind)}`;
    throw new CountersignError('ERR_KEY_SIGNATURE_ALGORITHM', message);
  }
  return new SoftwareSigner(privateKey, spki, row);
}

/** False also where the algorithm is unknown, does not fit the key, or the signature is not canonical. */
export function verifySignature(
  spki: SubjectPublicKeyInfo,
  algorithm: AlgorithmIdentifier,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  return verifiesBy(spki, signatureAlgorithmOf(algorithm), data, signature);
}

/**
 * The same by a key that verifies this one signature: of an elliptic curve it is not imported, since making an object
 * for it costs as much as reading it.
 */
export function verifySignatureOnce(
  spki: SubjectPublicKeyInfo,
  algorithm: AlgorithmIdentifier,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  return verifiesBy(spki, signatureAlgorithmOf(algorithm), data, signature, bytesOfKey);
}

/** The same for what {@link keySigner} signed by the algorithm that it takes by itself. */
export function verifySignatureOfKey(
  spki: SubjectPublicKeyInfo,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  const kind = keyKindOf(spki);
  return kind !== undefined && verifiesBy(spki, algorithmOf(spki, kind), data, signature);
}

function verifiesBy(
  spki: SubjectPublicKeyInfo,
  row: SignatureAlgorithm | undefined,
  data: Uint8Array,
  signature: Uint8Array,
  keyFor: typeof bytesOfKey = importedKey,
): boolean {
  const kind = keyKindOf(spki);
  if (row === undefined || kind === undefined || !row.keyTypes.includes(kind.type)) return false;
  if (kind.type === 'EC' && !isEcdsaSignature(signature)) return false;
  try {
    return verify(row.hash, data, keyFor(spki, row), signature);
  } catch {
    // a point off its curve, a salt longer than the modulus: no such signature verifies
    return false;
  }
}

/** A restricted RSA-PSS key says itself what it signs with (RFC 4055 §3.3). */
function algorithmOf(spki: SubjectPublicKeyInfo, kind: KeyKind): SignatureAlgorithm | undefined {
  const isRestricted = kind.type === 'RSA-PSS' && spki.algorithm.parameters !== undefined;
  return isRestricted ? signatureAlgorithmOf(spki.algorithm) : defaultAlgorithmOf(kind);
}

class SoftwareSigner implements Signer {
  readonly spki: SubjectPublicKeyInfo;
  readonly algorithm: SignatureAlgorithm;
  readonly #key: KeyObject;

  constructor(key: KeyObject, spki: SubjectPublicKeyInfo, algorithm: SignatureAlgorithm) {
    this.#key = key;
    this.spki = spki;
    this.algorithm = algorithm;
  }

  sign(data: Uint8Array): Uint8Array {
    return sign(this.algorithm.hash, data, keyInput(this.#key, this.algorithm));
  }

  toJSON(): string {
    return `[signer ${this.algorithm.name}]`;
  }

  [inspect.custom](): string {
    return this.toJSON();
  }
}

function importedKey(spki: SubjectPublicKeyInfo, row: SignatureAlgorithm) {
  return keyInput(publicKeyOf(spki), row);
}

function bytesOfKey(spki: SubjectPublicKeyInfo, row: SignatureAlgorithm) {
  if (!row.keyTypes.includes('EC')) return importedKey(spki, row);
  return { key: spki.raw as Buffer, format: 'der', type: 'spki' } as const;
}

/** A bare key where the scheme has no options: Node looks at those one by one. */
function keyInput(key: KeyObject, { options }: SignatureAlgorithm): KeyObject | SignKeyObjectInput {
  return options.padding === undefined ? key : { key, ...options };
}

/** RFC 3279 §2.2.3: a SEQUENCE of two positive INTEGERs in DER, and nothing behind. */
function isEcdsaSignature(signature: Uint8Array): boolean {
  try {
    const reader = DerReader.over(signature, 'signature');
    const inner = reader.sequence('signature');
    reader.end('signature');
    const r = inner.integer('signature');
    const s = inner.integer('signature');
    inner.end('signature');
    return (r[0] ?? 0) < 0x80 && (s[0] ?? 0) < 0x80;
  } catch {
    return false;
  }
}
