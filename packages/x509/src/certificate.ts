import type { AlgorithmIdentifier } from './algorithm-identifier.ts';
import type { DecodedExtensions } from './decoded-extensions.ts';
import type { Extension } from './extension.ts';
import type { Name } from './name.ts';
import type { SubjectPublicKeyInfo } from './spki.ts';

/**
 * A certificate (RFC 5280 §4.1), decoded once and whole. What is well-formed but against the profile (a zero serial, a
 * CA without keyCertSign, a weak key) is here as it stands: path validation judges it. Bytes are views of `raw`.
 */
export interface Certificate extends DecodedExtensions {
  readonly raw: Uint8Array;
  /** DER of the TBSCertificate: what is signed. */
  readonly tbs: Uint8Array;
  readonly version: 1 | 2 | 3;
  /** Content octets of the INTEGER: minimal two's complement, perhaps negative, zero or over 20 octets. */
  readonly serial: Uint8Array;
  /** Lowercase, without the leading 00 that only keeps a serial positive; a negative one has a leading "-". */
  readonly serialHex: string;
  /** The same in both places: a difference is refused at parse. */
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly tbsSignatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Uint8Array;
  readonly issuer: Name;
  readonly subject: Name;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly spki: SubjectPublicKeyInfo;
  readonly extensions: readonly Extension[];
}
