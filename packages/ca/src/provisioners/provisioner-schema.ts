import { durationSchema } from '@countersign/config';
import { z } from 'zod';
import { provisionerTypes } from './provisioner-config.ts';

const text = z.string().min(1).max(1000);
const texts = z.array(text).max(64);

/** `provisioners` of ca.yaml as written. */
export const provisionersSchema = z
  .array(
    z.strictObject({
      name: text.max(64),
      type: z.enum(provisionerTypes),
      issuer: text.optional(),
      jwks_url: text.optional(),
      jwks_file: text.optional(),
      encrypted_key_file: text.optional(),
      ca_file: text.optional(),
      roots_file: text.optional(),
      certificates_file: text.optional(),
      audiences: texts.min(1).optional(),
      claims: z.record(text, z.union([text, texts.min(1)])).optional(),
      spiffe_id: text.optional(),
      dns: texts.optional(),
      intermediate: text.optional(),
      profile: text.optional(),
      max_instance_age: durationSchema().optional(),
      reusable: z.boolean().optional(),
      nonce: z.enum(['key', 'any']).optional(),
      lifetime: durationSchema().optional(),
      allow: texts.optional(),
      requests_per_hour: z.number().int().min(0).max(10_000_000).optional(),
    }),
  )
  .max(100);

export type WrittenProvisioners = z.output<typeof provisionersSchema>;
