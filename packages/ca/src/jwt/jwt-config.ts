import { durationSchema } from '@countersign/config';
import type { KeyKind } from '@countersign/x509';
import { z } from 'zod';
import type { Report } from '../ca-config-checks.ts';

/** Tokens (`jwt` in ca.yaml). Durations are milliseconds. */
export interface JwtConfig {
  /** The `iss` claim, and where relying parties find the keys; undefined: tokens have none, and there is no discovery. */
  readonly issuer: string | undefined;
  readonly algorithm: keyof typeof jwtKeyKinds;
  /** Where none is asked for. Default 5 min. */
  readonly ttlMs: number;
  /** Default 1 h. */
  readonly maxTtlMs: number;
  /** How long a key signs. Default 24 h. */
  readonly keyLifetimeMs: number;
  /** How long a key is published before it signs: as long as consumers may take to look again. Default 1 h. */
  readonly publishAheadMs: number;
}

export const jwtKeyKinds = {
  ES256: { type: 'EC', curve: 'P-256' },
  ES384: { type: 'EC', curve: 'P-384' },
  RS256: { type: 'RSA', bits: 2048 },
} as const satisfies Readonly<Record<string, KeyKind>>;

export const jwtSchema = z.strictObject({
  issuer: z.string().optional(),
  algorithm: z.enum(['ES256', 'ES384', 'RS256']).optional(),
  ttl: durationSchema().optional(),
  max_ttl: durationSchema().optional(),
  key_lifetime: durationSchema().optional(),
  publish_ahead: durationSchema().optional(),
});

const minute = 60_000;
const hour = 3_600_000;

export function interpretJwt(
  written: z.output<typeof jwtSchema> | undefined,
  report: Report,
): JwtConfig | undefined {
  if (written === undefined) return undefined;
  const keyLifetimeMs = written.key_lifetime ?? 24 * hour;
  const config: JwtConfig = {
    issuer: written.issuer,
    algorithm: written.algorithm ?? 'ES256',
    ttlMs: written.ttl ?? 5 * minute,
    maxTtlMs: written.max_ttl ?? hour,
    keyLifetimeMs,
    publishAheadMs: written.publish_ahead ?? Math.min(hour, keyLifetimeMs / 4),
  };
  const { issuer, ttlMs, maxTtlMs, publishAheadMs } = config;
  if (issuer !== undefined && !isIssuer(issuer)) {
    const form = 'expected an https URL without query, fragment or slash at the end';
    report(['jwt', 'issuer'], `jwt.issuer: ${form}, found "${issuer}"`);
  }
  if (ttlMs < 1000 || ttlMs > maxTtlMs) {
    const sides = 'jwt.ttl: expected at least 1 s, and no more than jwt.max_ttl';
    report(['jwt', written.ttl === undefined ? 'max_ttl' : 'ttl'], sides);
  }
  if (publishAheadMs >= keyLifetimeMs) {
    report(['jwt', 'publish_ahead'], 'jwt.publish_ahead: expected less than jwt.key_lifetime');
  }
  return config;
}

// OpenID Connect Discovery §2: https, no query or fragment; relying parties append the well-known path.
function isIssuer(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return url.protocol === 'https:' && url.search === '' && url.hash === '' && !text.endsWith('/');
}
