export interface BackoffRange {
  /** Ceiling of the first wait. Default 1,000. */
  readonly minMs: number;
  /** Ceiling of all later ones. Default 300,000. */
  readonly maxMs: number;
}

/** No two attempts are closer than this, whatever the lifetime. */
export const leastWaitMs = 100;

/**
 * When to renew a certificate: at a fraction of its lifetime, earlier by up to `jitter` of the lifetime, so that what
 * was issued together is not renewed together.
 *
 * @param lifetime.from when it was obtained, or its notBefore where that is not known
 */
export function renewalTime(
  lifetime: { readonly from: number; readonly notAfter: number },
  options: { readonly fraction: number; readonly jitter: number },
  random: () => number,
): number {
  const lengthMs = Math.max(0, lifetime.notAfter - lifetime.from);
  const early = options.jitter * random();
  return lifetime.from + lengthMs * Math.max(0, options.fraction - early);
}

/**
 * How long to wait where the authority said after which time it has a turn: that, and up to a tenth of it more, since many
 * were told alike; where the certificate would end first, some time before half of what is left of it has passed.
 */
export function turnWaitMs(retryAfterMs: number, leftMs: number, random: () => number): number {
  const told = retryAfterMs * (1 + 0.1 * random());
  const bounded = leftMs > 0 && told > leftMs / 2 ? (leftMs / 2) * (0.5 + 0.5 * random()) : told;
  return Math.max(leastWaitMs, bounded);
}

/**
 * How long to wait after the nth failure in a row (from 1): anything up to a ceiling that doubles ("full jitter"), but
 * never so long that the certificate would expire untried: at most half of what is left of it.
 */
export function retryWaitMs(
  failures: number,
  leftMs: number,
  range: BackoffRange,
  random: () => number,
): number {
  const ceiling = Math.min(range.maxMs, range.minMs * 2 ** Math.min(failures - 1, 30));
  const wait = ceiling * random();
  const bounded = leftMs > 0 ? Math.min(wait, leftMs / 2) : wait;
  return Math.max(leastWaitMs, bounded);
}
