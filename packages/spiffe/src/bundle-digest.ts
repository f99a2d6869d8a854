import { createHash } from 'node:crypto';
import { fingerprintOf } from '@countersign/x509';
import type { TrustBundle } from './trust-bundle.ts';

/**
 * What tells one trust bundle from another, whatever the order of its authorities: SHA-256 over the trust domain and the
 * SHA-256 of each authority's DER, sorted, a line each. Lowercase hex.
 */
export function bundleDigest({ trustDomain, authorities }: TrustBundle): string {
  const lines = [trustDomain, ...authorities.map(fingerprintOf).sort()];
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}
