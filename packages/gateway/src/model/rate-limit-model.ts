/** How often callers may ask; a bucket of tokens for each key. */
export interface RateLimitModel {
  /** For callers, logs and metrics; unique within the gateway. */
  readonly name: string;
  readonly by: RateLimitKey;
  /** Only callers of this class; absent: all. */
  readonly rateClass?: string;
  /** So many in each `perMs`, evenly. */
  readonly requests: number;
  readonly perMs: number;
  /** So many at once, after a time without any. */
  readonly burst: number;
  /** Keys that are told apart at the same time; further ones share a bucket. */
  readonly maxKeys: number;
  /** Whether callers are told how much is left. */
  readonly tells: boolean;
}

/**
 * `identity`: SPIFFE ID, or the name of a certificate without one; of callers without a certificate their address. Who
 * does not send the header counts as one caller.
 */
export type RateLimitKey =
  | { readonly kind: 'identity' | 'rate-class' | 'address' | 'all' }
  | { readonly kind: 'header' /** Lowercase. */; readonly name: string };
