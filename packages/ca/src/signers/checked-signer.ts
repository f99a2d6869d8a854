import { verify } from 'node:crypto';
import { inspect } from 'node:util';
import { CountersignError } from '@countersign/base';
import {
  defaultAlgorithmOf,
  formatKeyKind,
  keyKindOf,
  publicKeyOf,
  type SignatureAlgorithm,
  type Signer,
  type SubjectPublicKeyInfo,
} from '@countersign/x509';

export interface CheckedSignerOptions {
  readonly spki: SubjectPublicKeyInfo;
  readonly algorithm: SignatureAlgorithm;
  /** Of the store, for messages. */
  readonly title: string;
  /** The signature as X.509 wants it: an ECDSA one in DER. */
  sign(data: Uint8Array): Promise<Uint8Array>;
}

/**
 * A signer whose key is somewhere else: no signature leaves it that its public key does not verify, so that neither a
 * faulty token nor a wrong key can put its name under a certificate.
 */
export function checkedSigner(options: CheckedSignerOptions): Signer {
  return new CheckedSigner(options);
}

/**
 * The algorithm to sign with: the one wished for, or the key's default.
 *
 * @throws CountersignError ERR_KEY_SIGNATURE_ALGORITHM, ERR_KEY_UNSUPPORTED
 */
export function signatureAlgorithmFor(
  spki: SubjectPublicKeyInfo,
  wished: SignatureAlgorithm | undefined,
): SignatureAlgorithm {
  const kind = keyKindOf(spki);
  if (kind === undefined) {
    const message = `key algorithm "${spki.algorithm.oid}" cannot sign certificates`;
    throw new CountersignError('ERR_KEY_UNSUPPORTED', message);
  }
  const algorithm = wished ?? defaultAlgorithmOf(kind);
  if (algorithm.keyTypes.includes(kind.type)) return algorithm;
  const message = `${algorithm.name} cannot be used with a key ${formatKeyKind(kind)}`;
  throw new CountersignError('ERR_KEY_SIGNATURE_ALGORITHM', message);
}

class CheckedSigner implements Signer {
  readonly spki: SubjectPublicKeyInfo;
  readonly algorithm: SignatureAlgorithm;
  readonly #title: string;
  readonly #sign: (data: Uint8Array) => Promise<Uint8Array>;

  constructor({ spki, algorithm, title, sign }: CheckedSignerOptions) {
    this.spki = spki;
    this.algorithm = algorithm;
    this.#title = title;
    this.#sign = sign;
  }

  async sign(data: Uint8Array): Promise<Uint8Array> {
    const signature = await this.#sign(data);
    const { hash, options } = this.algorithm;
    if (verify(hash, data, { key: publicKeyOf(this.spki), ...options }, signature)) {
      return signature;
    }
    throw new CountersignError(
      'ERR_SIGNER',
      `sign in ${this.#title}: its ${this.algorithm.name} signature does not verify under the public key`,
    );
  }

  toJSON(): string {
    return `[signer ${this.algorithm.name} in ${this.#title}]`;
  }

  [inspect.custom](): string {
    return this.toJSON();
  }
}
