import { createHash, hash } from 'node:crypto';

export interface SignatureCacheOptions {
  /**
   * At least 1. Default 1024; at the limit the entry longest unused goes. About 150 bytes an entry.
   */
  readonly maxEntries?: number;
}

/** Beyond it, hashing what was met before costs more than a look at whether it is the very same object. */
const largeBytes = 16 * 1024;

/**
 * Remembers which (issuer key, certificate or CRL) signatures have verified, so that a process that
 * meets the same peers again does not verify them again. Only successes are kept, by SHA-256 of
 * both sides whole; of large documents by the object itself, for as long as that lives, so that a
 * list of many megabytes is not hashed for every peer. The owner decides its life and passes it in;
 * it never expires, since a signature that has verified always will.
 */
export class SignatureCache {
  readonly #maxEntries: number;
  readonly #verified = new Set<string>();
  readonly #verifiedLarge = new WeakMap<Uint8Array, Set<string>>();

  constructor(options: SignatureCacheOptions = {}) {
    this.#maxEntries = Math.max(1, options.maxEntries ?? 1024);
  }

  get size(): number {
    return this.#verified.size;
  }

  /** Whether the signature over `signed` has verified with this key; asking keeps the entry. */
  has(issuerSpki: Uint8Array, signed: Uint8Array): boolean {
    if (signed.byteLength > largeBytes) {
      return this.#verifiedLarge.get(signed)?.has(hash('sha256', issuerSpki, 'base64')) ?? false;
    }
    const key = keyOf(issuerSpki, signed);
    if (!this.#verified.delete(key)) return false;
    this.#verified.add(key);
    return true;
  }

  add(issuerSpki: Uint8Array, signed: Uint8Array): void {
    if (signed.byteLength > largeBytes) {
      const keys = this.#verifiedLarge.get(signed) ?? new Set();
      this.#verifiedLarge.set(signed, keys.add(hash('sha256', issuerSpki, 'base64')));
      return;
    }
    this.#verified.add(keyOf(issuerSpki, signed));
    if (this.#verified.size <= this.#maxEntries) return;
    const oldest = this.#verified.values().next();
    if (!oldest.done) this.#verified.delete(oldest.value);
  }
}

/** Lengths first, so that no two pairs share one hash input. */
function keyOf(issuerSpki: Uint8Array, signed: Uint8Array): string {
  const hash = createHash('sha256');
  hash.update(`${issuerSpki.byteLength}:`);
  hash.update(issuerSpki);
  hash.update(signed);
  return hash.digest('base64');
}
