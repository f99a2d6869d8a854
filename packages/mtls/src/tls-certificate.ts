import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { inspect } from 'node:util';
import { CountersignError, messageOf } from '@countersign/base';
import { parseSvid, type SpiffeId } from '@countersign/spiffe';
import { type Certificate, certificatesFromPem, publicKeyOf } from '@countersign/x509';

/** What a side of a handshake presents: an X.509-SVID, or a certificate that is known by other names. */
export interface TlsIdentity {
  readonly spiffeId: SpiffeId | undefined;
  /** Leaf first, then its intermediates. */
  readonly chain: readonly [Certificate, ...Certificate[]];
  readonly privateKey: KeyObject;
  readonly serialHex: string;
  /** When the leaf ends, in milliseconds since the epoch. */
  readonly notAfter: number;
}

/** Whose certificate to present. Asked at each handshake, never cached by the asker; every `SvidSource` is one. */
export interface IdentitySource {
  /** @throws CountersignError ERR_SVID_NONE when there is none */
  svid(): TlsIdentity;
}

/**
 * A certificate chain and its key from PEM text: an X.509-SVID where it is one, else as it is.
 *
 * @throws CountersignError ERR_PEM_*, ERR_CERT_*, ERR_DER_*, ERR_SVID_KEY; no message shows anything of the key
 */
export function readTlsIdentity(chain: string, key: string): TlsIdentity {
  try {
    return parseSvid(chain, key);
  } catch (thrown) {
    const isOther = thrown instanceof CountersignError && otherNames.has(thrown.code);
    if (!isOther) throw thrown;
  }
  const [leaf, ...others] = certificatesFromPem(chain);
  if (leaf === undefined)
    throw new CountersignError('ERR_SVID_EMPTY', 'no certificate in the chain');
  const privateKey = privateKeyOf(key);
  if (!isKeyOf(leaf, privateKey)) {
    const message = `the private key does not belong to certificate ${leaf.serialHex}`;
    throw new CountersignError('ERR_SVID_KEY', message);
  }
  return new TlsCertificate([leaf, ...others], privateKey);
}

/** What makes a certificate none that a SPIFFE ID is proved by. */
const otherNames: ReadonlySet<string> = new Set([
  'ERR_SVID_URI',
  'ERR_SVID_ID',
  'ERR_SVID_CA',
  'ERR_SVID_KEY_USAGE',
  'ERR_SVID_SIGNER',
]);

/** Printing it in any way shows whose it is, never the key. */
class TlsCertificate implements TlsIdentity {
  readonly spiffeId = undefined;
  readonly chain: readonly [Certificate, ...Certificate[]];
  readonly #privateKey: KeyObject;

  constructor(chain: readonly [Certificate, ...Certificate[]], privateKey: KeyObject) {
    this.chain = chain;
    this.#privateKey = privateKey;
  }

  get privateKey(): KeyObject {
    return this.#privateKey;
  }

  get serialHex(): string {
    return this.chain[0].serialHex;
  }

  get notAfter(): number {
    return this.chain[0].notAfter;
  }

  toJSON(): Readonly<Record<string, unknown>> {
    return { serial: this.serialHex, notAfter: new Date(this.notAfter).toISOString() };
  }

  [inspect.custom](): string {
    return `TlsCertificate serial ${this.serialHex}`;
  }
}

function privateKeyOf(pem: string): KeyObject {
  try {
    return createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    // The cause is dropped on purpose: it may carry the input.
    throw new CountersignError('ERR_SVID_KEY', 'the private key is not an unencrypted key in PEM');
  }
}

function isKeyOf(leaf: Certificate, privateKey: KeyObject): boolean {
  try {
    return createPublicKey(privateKey).equals(publicKeyOf(leaf.spki));
  } catch (thrown) {
    const message = `the public key of certificate ${leaf.serialHex} cannot be used: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_SVID_KEY', message, { cause: thrown });
  }
}

/** Names it in messages. */
export function describeIdentity({ spiffeId, serialHex }: TlsIdentity): string {
  return spiffeId?.toString() ?? `certificate ${serialHex}`;
}
