import { formatDuration } from '@countersign/base';
import { durationSchema } from '@countersign/config';
import { z } from 'zod';
import type { CaConfig } from '../../ca-config.ts';
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

/** RFC 5280 §3.3: what was revoked stays listed until a list beyond its end was due; so long it must be at hand. */
export function checkRetention(
  { ledger, publish }: Pick<CaConfig, 'ledger' | 'publish'>,
  report: Report,
): void {
  const { enabled, keepMs } = ledger.retention;
  const crl = publish?.crl;
  if (!enabled || crl === undefined) return;
  const longestMs = Math.max(crl.validityMs, crl.rootValidityMs);
  if (keepMs >= longestMs) return;
  const sides = `"${formatDuration(keepMs)}" is shorter than "${formatDuration(longestMs)}", for which a list of publish.crl is valid`;
  report(['ledger', 'retention', 'keep'], `ledger.retention.keep: ${sides}`);
}
