import type { Denial } from '@countersign/base';
import type { KeyKind, SignatureAlgorithm, Signer } from '@countersign/x509';
import type { SealedKey } from '../sealed-key.ts';
import type { KeyReference } from './key-reference.ts';

/** What the data directory keeps of a key: the key itself, sealed, or where it is to be found. Both may be read by others. */
export type KeyDescription = SealedKey | KeyReference;

export type KeyStoreHealth = { readonly ok: true; readonly detail: string } | Denial;

/**
 * Where keys of the authority live. A key is made inside and never leaves: what comes out is its description, to keep,
 * and signatures. One suite (`signer.suite.ts`) holds every implementation to that.
 */
export interface KeyStore {
  /** For messages and status: `sealed files`, `token "issuing"`, `AWS KMS in eu-central-1`. */
  readonly title: string;
  /**
   * A new key pair. Durable in the store when it resolves; the description is for the caller to keep.
   *
   * @param name which key of the hierarchy it is: `root`, or an intermediate's name
   * @throws CountersignError ERR_SIGNER_KEY_KIND, and what the store says of itself (ERR_SIGNER_*)
   */
  generate(kind: KeyKind, name: string): Promise<KeyDescription>;
  /**
   * The signer of a key that this store made, once or long ago. Its signatures are verified under the public key of
   * the description before they are given out; a store that is gone makes `sign` reject with ERR_SIGNER_*.
   *
   * @param algorithm another than the key's default, such as RSA-PSS with an RSA key
   * @throws CountersignError ERR_SIGNER_KEY, ERR_KEY_SEALED, ERR_KEY_FILE, ERR_SIGNER_*
   */
  open(description: KeyDescription, algorithm?: SignatureAlgorithm): Promise<Signer>;
  /** Takes back a key that this very store object generated, for an init that fails half-way; others are left alone. */
  discard(description: KeyDescription): Promise<void>;
  /** Whether it could sign now, found out by asking it. Does not throw. */
  health(): Promise<KeyStoreHealth>;
  /** Signatures under way are finished or fail; signers of the store are of no use afterwards. */
  close(): Promise<void>;
}
