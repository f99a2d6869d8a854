import { z } from 'zod';

const names = z.array(z.string()).nullish();

/** Whom an entry is about. */
export const whoKeys = { provisioners: names, callers: names };

export const policySchema = z.strictObject({
  rules: z
    .array(
      z.strictObject({
        name: z.string().min(1).max(80).optional(),
        ...whoKeys,
        when: z.string().nullish(),
        allow: names,
        deny: names,
      }),
    )
    .nullish(),
});

export type WrittenPolicy = z.output<typeof policySchema>;
