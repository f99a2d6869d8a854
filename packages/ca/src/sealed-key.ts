import { createCipheriv, createDecipheriv, createHash, randomBytes, scrypt } from 'node:crypto';
import { CountersignError, fromBase64, Secret } from '@countersign/base';

/**
 * A private key at rest, as JSON. The secret (a passphrase, or the content of a key file) gives an AES-256 key by
 * scrypt; the key's PKCS #8 is sealed with AES-256-GCM. Everything beside the ciphertext is authenticated with it, so
 * that a file cannot be put in the place of another.
 *
 * ```json
 * { "format": "countersign-sealed-key", "version": 1, "name": "root", "publicKey": "<SHA-256 of the SPKI, hex>",
 *   "kdf": { "name": "scrypt", "N": 131072, "r": 8, "p": 1, "salt": "<base64>" },
 *   "cipher": { "name": "aes-256-gcm", "nonce": "<base64>", "tag": "<base64>" }, "ciphertext": "<base64>" }
 * ```
 */
export interface SealedKey {
  readonly format: typeof format;
  readonly version: 1;
  /** Which key of the hierarchy it is: `root`, or an intermediate's name. */
  readonly name: string;
  /** SHA-256 of the SubjectPublicKeyInfo, lowercase hex: compared with the certificate without unsealing. */
  readonly publicKey: string;
  readonly kdf: ScryptParameters & { readonly name: 'scrypt'; readonly salt: string };
  readonly cipher: { readonly name: 'aes-256-gcm'; readonly nonce: string; readonly tag: string };
  readonly ciphertext: string;
}

export interface ScryptParameters {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

/** For what people can remember: 128 MiB and a few tenths of a second for each guess. */
export const passphraseScrypt: ScryptParameters = { N: 2 ** 17, r: 8, p: 1 };
/** For a key file of 256 random bits, which nobody guesses anyway. */
export const keyFileScrypt: ScryptParameters = { N: 2 ** 10, r: 8, p: 1 };

/** Turns a secret into sealing keys, deriving once for each salt. */
export interface Sealer {
  seal(name: string, publicKey: string, pkcs8: Secret<Uint8Array>): Promise<SealedKey>;
  /** @throws CountersignError ERR_KEY_SEALED; the same words whatever was wrong with the secret or the file's content */
  unseal(sealed: SealedKey): Promise<Secret<Uint8Array>>;
}

const format = 'countersign-sealed-key';
/** A file from elsewhere must not make us compute for minutes. */
const limits = { N: 2 ** 20, r: 8, p: 4, ciphertext: 64 * 1024 };
/** What scrypt may take: 128·N·r bytes at the largest of both, and some. */
const maxmem = 129 * limits.N * limits.r;

export function createSealer(secret: Secret<Uint8Array>, parameters: ScryptParameters): Sealer {
  const salt = randomBytes(16).toString('base64');
  const derived = new Map<string, Promise<Secret<Uint8Array>>>();
  const keyFor = (kdf: SealedKey['kdf']): Promise<Secret<Uint8Array>> => {
    const id = [kdf.N, kdf.r, kdf.p, kdf.salt].join(' ');
    const known = derived.get(id) ?? deriveKey(secret, kdf);
    derived.set(id, known);
    return known;
  };
  return {
    async seal(name, publicKey, pkcs8) {
      const kdf = { name: 'scrypt', ...parameters, salt } as const;
      const key = await keyFor(kdf);
      // Random 96-bit nonces: a handful of keys under one derived key, far from a repetition.
      const nonce = randomBytes(12);
      const header = { format, version: 1, name, publicKey, kdf } as const;
      const cipher = createCipheriv('aes-256-gcm', key.reveal(), nonce);
      cipher.setAAD(authenticated(header));
      const ciphertext = Buffer.concat([cipher.update(pkcs8.reveal()), cipher.final()]);
      const sealing = {
        name: 'aes-256-gcm',
        nonce: nonce.toString('base64'),
        tag: cipher.getAuthTag().toString('base64'),
      } as const;
      return { ...header, cipher: sealing, ciphertext: ciphertext.toString('base64') };
    },
    async unseal(sealed) {
      const key = await keyFor(sealed.kdf);
      try {
        const decipher = createDecipheriv('aes-256-gcm', key.reveal(), bytes(sealed.cipher.nonce));
        decipher.setAAD(authenticated(sealed));
        decipher.setAuthTag(bytes(sealed.cipher.tag));
        const open = Buffer.concat([decipher.update(bytes(sealed.ciphertext)), decipher.final()]);
        return new Secret(new Uint8Array(open));
      } catch {
        // No cause and no detail: a wrong secret and a changed file look alike, and nothing of either is told.
        throw new CountersignError(
          'ERR_KEY_SEALED',
          `open the sealed key "${sealed.name}": the passphrase or key file does not fit it`,
          { fields: { key: sealed.name } },
        );
      }
    },
  };
}

/** @throws CountersignError ERR_KEY_FILE for what is no sealed key of a version that we read */
export function parseSealedKey(text: string, file: string): SealedKey {
  const json = parseJson(text, file);
  const { kdf, cipher } = json;
  if (json.format !== format) throw malformed(file, 'is not a sealed key of countersign');
  if (json.version !== 1) {
    throw malformed(
      file,
      `has version ${JSON.stringify(json.version)}, this program reads version 1`,
    );
  }
  const scryptOk =
    isRecord(kdf) &&
    kdf.name === 'scrypt' &&
    isPowerOfTwo(kdf.N, limits.N) &&
    isWithin(kdf.r, limits.r) &&
    isWithin(kdf.p, limits.p) &&
    isBase64(kdf.salt, 8, 64);
  if (!scryptOk) throw malformed(file, 'has key derivation parameters outside what is read');
  const cipherOk =
    isRecord(cipher) &&
    cipher.name === 'aes-256-gcm' &&
    isBase64(cipher.nonce, 12, 12) &&
    isBase64(cipher.tag, 16, 16);
  if (!cipherOk) throw malformed(file, 'has cipher parameters outside what is read');
  const named = typeof json.name === 'string' && json.name.length <= 64;
  const keyed = typeof json.publicKey === 'string' && /^[0-9a-f]{64}$/.test(json.publicKey);
  if (!named || !keyed || !isBase64(json.ciphertext, 16, limits.ciphertext)) {
    throw malformed(file, 'lacks its name, public key or ciphertext');
  }
  return json as unknown as SealedKey;
}

export function formatSealedKey(sealed: SealedKey): string {
  return `${JSON.stringify(sealed, undefined, 2)}\n`;
}

function deriveKey(
  secret: Secret<Uint8Array>,
  { N, r, p, salt }: SealedKey['kdf'],
): Promise<Secret<Uint8Array>> {
  return new Promise((resolve, reject) => {
    scrypt(secret.reveal(), bytes(salt), 32, { N, r, p, maxmem }, (failed, key) => {
      if (failed === null) resolve(new Secret(new Uint8Array(key)));
      else reject(failed);
    });
  });
}

/** One spelling of everything outside the ciphertext, by which a change of any of it is noticed. */
function authenticated(header: Omit<SealedKey, 'cipher' | 'ciphertext'>): Uint8Array {
  const { name, N, r, p, salt } = header.kdf;
  const fields = [
    header.format,
    header.version,
    header.name,
    header.publicKey,
    name,
    N,
    r,
    p,
    salt,
  ];
  return createHash('sha256').update(JSON.stringify(fields)).digest();
}

function bytes(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'));
}

function parseJson(text: string, file: string): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(text);
    if (isRecord(json)) return json;
  } catch {
    // The parser's message quotes the text; what stands in a key file is nobody's business.
  }
  throw malformed(file, 'is not a JSON object');
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isWithin(value: unknown, max: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= max;
}

function isPowerOfTwo(value: unknown, max: number): boolean {
  return isWithin(value, max) && value >= 1024 && (value & (value - 1)) === 0;
}

function isBase64(value: unknown, minBytes: number, maxBytes: number): boolean {
  if (typeof value !== 'string' || value.length > maxBytes * 2) return false;
  const decoded = fromBase64(value);
  return decoded !== undefined && decoded.byteLength >= minBytes && decoded.byteLength <= maxBytes;
}

function malformed(file: string, wrong: string): CountersignError {
  return new CountersignError('ERR_KEY_FILE', `read the key "${file}": it ${wrong}`, {
    fields: { file },
  });
}
