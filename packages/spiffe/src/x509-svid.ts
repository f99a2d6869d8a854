import { createPrivateKey, createPublicKey, KeyObject } from 'node:crypto';
import { inspect } from 'node:util';
import { CountersignError, errorOfDenial, messageOf } from '@countersign/base';
import { type Certificate, publicKeyOf, verifySignature } from '@countersign/x509';
import { certificatesFrom } from './certificate-series.ts';
import type { SpiffeId } from './spiffe-id.ts';
import { leafSpiffeId, wrongWithIntermediate } from './svid-rules.ts';

const minted = Symbol('checked X.509-SVID');

/**
 * An X.509-SVID with its private key, as {@link makeSvid} checked it: well-formed and fit to be presented. Whether it
 * is valid now, and trusted, is for `verifyPeer`. Printing it in any way shows whose it is, never the key.
 */
export class X509Svid {
  readonly spiffeId: SpiffeId;
  /** Leaf first, then its intermediates, without the root. */
  readonly chain: readonly [Certificate, ...Certificate[]];
  readonly #privateKey: KeyObject;

  constructor(
    evidence: typeof minted,
    spiffeId: SpiffeId,
    chain: readonly [Certificate, ...Certificate[]],
    privateKey: KeyObject,
  ) {
    if (evidence !== minted) throw new TypeError('an X509Svid is made by makeSvid only');
    this.spiffeId = spiffeId;
    this.chain = chain;
    this.#privateKey = privateKey;
  }

  get leaf(): Certificate {
    return this.chain[0];
  }

  get serialHex(): string {
    return this.leaf.serialHex;
  }

  /** When the leaf ends, in milliseconds since the epoch. */
  get notAfter(): number {
    return this.leaf.notAfter;
  }

  get privateKey(): KeyObject {
    return this.#privateKey;
  }

  toJSON(): Readonly<Record<string, unknown>> {
    return {
      spiffeId: this.spiffeId.toString(),
      serial: this.serialHex,
      notAfter: new Date(this.notAfter).toISOString(),
    };
  }

  toString(): string {
    return `X509Svid ${this.spiffeId} serial ${this.serialHex}`;
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/**
 * Checks the X.509-SVID rules on a chain (leaf first) and that the key is the leaf's. A self-signed certificate at the
 * end of the chain is left out: peers have their own trust anchors.
 *
 * @throws CountersignError ERR_SVID_*, ERR_DER_*, ERR_CERT_*
 */
export function makeSvid(
  chain: readonly (Certificate | Uint8Array)[],
  privateKey: KeyObject,
): X509Svid {
  const certificates = chain.flatMap((item) =>
    item instanceof Uint8Array ? certificatesFrom(item) : [item],
  );
  const [leaf, ...signers] = certificates;
  if (leaf === undefined)
    throw new CountersignError('ERR_SVID_EMPTY', 'no certificate in the chain');
  const named = leafSpiffeId(leaf);
  if (!named.ok) throw errorOfDenial(named);
  for (const signer of signers) {
    const wrong = wrongWithIntermediate(signer);
    if (wrong !== undefined) throw errorOfDenial(wrong);
  }
  checkKeyIsOf(leaf, privateKey);
  const last = signers.at(-1);
  if (last !== undefined && isSelfSigned(last)) signers.pop();
  return new X509Svid(minted, named.spiffeId, [leaf, ...signers], privateKey);
}

/**
 * Reads an X.509-SVID from a chain (PEM text, or DER certificates one after the other) and an unencrypted private key
 * (PEM text, or PKCS #8 DER).
 *
 * @throws CountersignError as {@link makeSvid}, and ERR_PEM_*; no message shows anything of the key
 */
export function parseSvid(chain: string | Uint8Array, privateKey: string | Uint8Array): X509Svid {
  const certificates = certificatesFrom(chain);
  if (certificates.length === 0) {
    throw new CountersignError('ERR_SVID_EMPTY', 'no certificate in the chain');
  }
  return makeSvid(certificates, privateKeyFrom(privateKey));
}

function privateKeyFrom(encoded: string | Uint8Array): KeyObject {
  try {
    if (typeof encoded === 'string') return createPrivateKey({ key: encoded, format: 'pem' });
    return createPrivateKey({ key: Buffer.from(encoded), format: 'der', type: 'pkcs8' });
  } catch {
    // The cause is dropped on purpose: it may carry the input.
    throw new CountersignError(
      'ERR_SVID_KEY',
      'the private key is not an unencrypted PKCS #8 key in PEM or DER',
    );
  }
}

function checkKeyIsOf(leaf: Certificate, privateKey: KeyObject): void {
  if (!(privateKey instanceof KeyObject) || privateKey.type !== 'private') {
    throw new CountersignError('ERR_SVID_KEY', 'the key is not a private key');
  }
  if (isKeyOf(leaf, privateKey)) return;
  throw new CountersignError(
    'ERR_SVID_KEY',
    `the private key does not belong to certificate ${leaf.serialHex}`,
    { fields: { serial: leaf.serialHex } },
  );
}

function isKeyOf(leaf: Certificate, privateKey: KeyObject): boolean {
  try {
    return createPublicKey(privateKey).equals(publicKeyOf(leaf.spki));
  } catch (thrown) {
    throw new CountersignError(
      'ERR_SVID_KEY',
      `the public key of certificate ${leaf.serialHex} cannot be used: ${messageOf(thrown)}`,
      { fields: { serial: leaf.serialHex }, cause: thrown },
    );
  }
}

function isSelfSigned(certificate: Certificate): boolean {
  return (
    Buffer.compare(certificate.issuer.raw, certificate.subject.raw) === 0 &&
    verifySignature(
      certificate.spki,
      certificate.signatureAlgorithm,
      certificate.tbs,
      certificate.signature,
    )
  );
}
