import type { KeyObject } from 'node:crypto';
import {
  buildCertificateRequest,
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
 */
export async function makeOwnRequest(kind: KeyKind): Promise<OwnRequest> {
  const { privateKey } = await generateKeyPair(kind);
  return { privateKey, csr: await buildCertificateRequest({ signer: keySigner(privateKey) }) };
}
