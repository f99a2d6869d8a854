import type { UsageWish } from './profile/narrow-usages.ts';

/** How a request for a certificate reaches the authority: the request itself, and what is wished beside it. */
export interface CsrAndWishes {
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
  readonly ttlMs?: number | undefined;
  /** Name of a profile. */
  readonly profile?: string | undefined;
  /** Name of the intermediate that signs. */
  readonly issuer?: string | undefined;
  /** Less than what the profile has. */
  readonly usages?: UsageWish | undefined;
}

/** Those alone, of whatever stands beside them. */
export function wishes({ csr, ttlMs, profile, issuer, usages }: CsrAndWishes): CsrAndWishes {
  return { csr, ttlMs, profile, issuer, usages };
}
