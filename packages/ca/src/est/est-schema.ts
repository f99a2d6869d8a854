import { durationSchema } from '@countersign/config';
import { z } from 'zod';

const text = z.string().min(1).max(1000);
const entrance = {
  name: text.max(64),
  provisioner: text.optional(),
  labels: z.array(text.max(64)).max(64).optional(),
};
const chosen = {
  provisioner: text.optional(),
  intermediate: text.optional(),
  profile: text.optional(),
  lifetime: durationSchema().optional(),
};

/** `est` of ca.yaml as written. */
export const estSchema = z.strictObject({
  ...chosen,
  labels: z.record(z.string(), z.strictObject(chosen).nullable()).nullish(),
  users: z.array(z.strictObject({ ...entrance, password_file: text })).nullish(),
  devices: z
    .array(
      z.strictObject({
        ...entrance,
        roots_file: text,
        subject: z.record(z.string(), text).optional(),
        names: z.array(text).max(64).optional(),
        spiffe_id: text.optional(),
      }),
    )
    .nullish(),
  server_keygen: z.boolean().optional(),
  channel_binding: z.enum(['optional', 'required']).optional(),
  decrypt_keys: z.record(z.string(), text).nullish(),
  limits: z
    .strictObject({
      failed_logins: z.number().int().min(1).max(10_000).optional(),
      failed_login_every: durationSchema().optional(),
      requests_per_hour: z.number().int().min(0).max(10_000_000).optional(),
    })
    .nullish(),
});

export type WrittenEst = z.output<typeof estSchema>;
