import type { KeyProof } from '@countersign/wire';
import type { UsageWish } from './profile/narrow-usages.ts';

/** How a request for a certificate reaches the authority: the request itself, and what is wished beside it. */
export interface CsrAndWishes {
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
  readonly ttlMs?: number | undefined;
  /** From when it is valid, where that is later than now. */
  readonly beginsAt?: number | undefined;
  /** Name of a profile. */
  readonly profile?: string | undefined;
  /** Name of the intermediate that signs. */
  readonly issuer?: string | undefined;
  /** By the long-term key of the identity. */
  readonly proof?: KeyProof | undefined;
  /** Less than what the profile has. */
  readonly usages?: UsageWish | undefined;
}

/** Those alone, of whatever stands beside them. */
export function wishes(wished: CsrAndWishes): CsrAndWishes {
  const { csr, ttlMs, beginsAt, profile, issuer, proof, usages } = wished;
  return { csr, ttlMs, beginsAt, profile, issuer, proof, usages };
}
