import { durationSchema } from '@countersign/config';
import { z } from 'zod';
import type { RateLimitKey, RateLimitModel } from '../model/rate-limit-model.ts';
import { headerName } from '../upstream-config.ts';

export type RateLimitConfig = z.output<typeof rateLimitSchema>;

/** One of `rateLimits:` of a listener or a route. */
const rateLimitSchema = z.strictObject({
  by: z
    .union([
      z.enum(['identity', 'rateClass', 'address', 'all']),
      z.strictObject({ header: headerName }),
    ])
    .default('identity'),
  /** Only callers of this class of the roles file. */
  rateClass: z.string().min(1).optional(),
  requests: z.int().min(1).max(1_000_000_000),
  per: durationSchema()
    .refine((ms) => ms > 0, 'expected more than 0')
    .default(1000),
  /** So many at once; as many as `requests` unless given. */
  burst: z.int().min(1).max(1_000_000_000).optional(),
  maxKeys: z.int().min(1).max(1_000_000).default(10_000),
  /** Whether callers are told by RateLimit headers. */
  headers: z.boolean().default(true),
});

export const rateLimitsSchema = z.array(rateLimitSchema).min(1).max(16).optional();

/** @param where of the limits, for their names */
export function compileRateLimits(
  written: readonly RateLimitConfig[] | undefined,
  where: string,
): { rateLimits?: readonly RateLimitModel[] } {
  if (written === undefined) return {};
  return {
    rateLimits: written.map(({ by, rateClass, requests, per, burst, maxKeys, headers }, i) => ({
      name: `${where}.rateLimits.${i}`,
      by: keyOf(by),
      ...(rateClass !== undefined && { rateClass }),
      ...{ requests, perMs: per, burst: burst ?? requests, maxKeys, tells: headers },
    })),
  };
}

function keyOf(by: RateLimitConfig['by']): RateLimitKey {
  if (typeof by === 'object') return { kind: 'header', name: by.header.toLowerCase() };
  return { kind: by === 'rateClass' ? 'rate-class' : by };
}
