import { durationSchema } from '@countersign/config';
import { z } from 'zod';
import type { RateLimitModel } from '../model/rate-limit-model.ts';
import { only, typed } from './envoy-document.ts';

/** Without it Envoy's filter does nothing: whoever writes it wants something. */
const whole = z.strictObject({
  runtime_key: z.string().optional(),
  default_value: z.strictObject({
    numerator: z.literal(100),
    denominator: z.enum(['HUNDRED']).optional(),
  }),
});

export const rateLimitFilter = typed(
  'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit',
  {
    stat_prefix: z.string().optional(),
    token_bucket: z.strictObject({
      max_tokens: z.int().min(1),
      tokens_per_fill: z.int().min(1).default(1),
      fill_interval: durationSchema().refine(
        (ms) => ms >= 50,
        'expected at least 50ms, as in Envoy',
      ),
    }),
    filter_enabled: whole,
    filter_enforced: whole,
    status: z
      .strictObject({
        code: z.enum(['TooManyRequests'], 'is not done by this gateway, but for TooManyRequests'),
      })
      .optional(),
    enable_x_ratelimit_headers: only('OFF'),
  },
);

/** @param where of the filter, for its name */
export function compileRateLimit(
  { token_bucket: bucket }: z.output<typeof rateLimitFilter>,
  where: string,
): RateLimitModel {
  return {
    ...{ name: where, by: { kind: 'all' }, maxKeys: 1 },
    ...{ requests: bucket.tokens_per_fill, perMs: bucket.fill_interval },
    ...{ burst: bucket.max_tokens, tells: false },
  };
}
