import type { AlgorithmIdentifier } from './algorithm-identifier.ts';

/** RFC 5280 §4.1.2.7. */
export interface SubjectPublicKeyInfo {
  readonly raw: Uint8Array;
  readonly algorithm: AlgorithmIdentifier;
  /** Content of the BIT STRING, which has no unused bits. */
  readonly bits: Uint8Array;
}
