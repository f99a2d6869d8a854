import { formatDuration } from '@countersign/base';
import { durationSchema } from '@countersign/config';
import { z } from 'zod';
import type { Report } from '../../ca-config-checks.ts';

/** What becomes of records that ended (`ledger.retention` in ca.yaml). */
export interface RetentionConfig {
  /** Default true. */
  readonly enabled: boolean;
  /** How long after its end a certificate stays among those that are asked about every day. Default 90 days. */
  readonly keepMs: number;
  /** How long between two rounds. Default 1 h. */
  readonly everyMs: number;
}

export const retentionSchema = z
  .strictObject({
    enabled: z.boolean().optional(),
    keep: durationSchema().optional(),
    every: durationSchema().optional(),
  })
  .nullish();

const hour = 3_600_000;
const day = 24 * hour;

/** Revoked certificates stay on lists until one beyond their end was due: no list is refreshed less often than this. */
const bounds = {
  keep: { from: 7 * day, to: 36_500 * day },
  every: { from: 60_000, to: 7 * day },
} as const;

export const defaultRetention: RetentionConfig = {
  enabled: true,
  keepMs: 90 * day,
  everyMs: hour,
};

export function interpretRetention(
  written: z.output<typeof retentionSchema>,
  report: Report,
): RetentionConfig {
  const { enabled, keep, every } = written ?? {};
  const check = (key: keyof typeof bounds, ms: number): number => {
    const { from, to } = bounds[key];
    if (ms >= from && ms <= to) return ms;
    const sides = `"${formatDuration(ms)}" is not between "${formatDuration(from)}" and "${formatDuration(to)}"`;
    report(['ledger', 'retention', key], `ledger.retention.${key}: ${sides}`);
    return ms;
  };
  return {
    enabled: enabled ?? defaultRetention.enabled,
    keepMs: check('keep', keep ?? defaultRetention.keepMs),
    everyMs: check('every', every ?? defaultRetention.everyMs),
  };
}
