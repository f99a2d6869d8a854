import { durationSchema } from '@countersign/config';
import { z } from 'zod';

const text = z.string().min(1).max(1000);

/** `vault` of ca.yaml as written. */
export const vaultSchema = z.strictObject({
  provisioner: text.optional(),
  mounts: z
    .record(
      z.string(),
      z.strictObject({
        intermediate: text,
        provisioner: text.optional(),
        description: z.string().max(1000).optional(),
        sign_intermediates: z.boolean().optional(),
      }),
    )
    .nullish(),
  new_mounts: z.boolean().optional(),
  tokens: z
    .array(
      z.strictObject({
        name: text.max(64),
        token_file: text,
        policies: z.array(text.max(128)).min(1).max(64),
      }),
    )
    .nullish(),
  token_lifetime: durationSchema().optional(),
  max_token_lifetime: durationSchema().optional(),
  allow: z.array(text).nullish(),
  limits: z
    .strictObject({
      failed_logins: z.number().int().min(1).max(10_000).optional(),
      failed_login_every: durationSchema().optional(),
    })
    .nullish(),
});

export type WrittenVault = z.output<typeof vaultSchema>;
