import type { KeyObject } from 'node:crypto';
import type { SpiffeId } from '@countersign/spiffe';
import {
  buildCertificateRequest,
  extension,
  generateKeyPair,
  type KeyKind,
  keySigner,
} from '@countersign/x509';

export interface OwnRequest {
  readonly privateKey: KeyObject;
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
}

export type MakeRequest = (kind: KeyKind) => Promise<OwnRequest>;

export const defaultKeyKind: KeyKind = { type: 'EC', curve: 'P-256' };

/**
 * A new key and the proof that we have it. The request names nobody: the token, or the certificate shown, decides the
 * names, and a request that repeated them could only be wrong.
 *
 * @param holder the SPIFFE ID that it is for, where a token of another is to be refused
 */
export async function makeOwnRequest(kind: KeyKind, holder?: SpiffeId): Promise<OwnRequest> {
  const { privateKey } = await generateKeyPair(kind);
  const name = holder && ({ kind: 'uri', value: holder.toString() } as const);
  const extensions = name === undefined ? [] : [extension.subjectAltName([name])];
  const csr = await buildCertificateRequest({ signer: keySigner(privateKey), extensions });
  return { privateKey, csr };
}
