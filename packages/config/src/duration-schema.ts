import { messageOf, parseDuration } from '@countersign/base';
import { z } from 'zod';

/** A duration as Go and Vault write it (`"24h"`); the value is milliseconds. */
export function durationSchema(): z.ZodType<number, string | number> {
  return z
    .union([z.string(), z.number().int().nonnegative()], {
      error: 'expected a duration such as 24h',
    })
    .transform((written, context) => {
      try {
        return parseDuration(written);
      } catch (thrown) {
        context.addIssue({ code: 'custom', message: messageOf(thrown) });
        return z.NEVER;
      }
    });
}
