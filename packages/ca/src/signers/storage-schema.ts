import { durationSchema } from '@countersign/config';
import { z } from 'zod';

/** Where a PIN or passphrase is; at most one of them. */
const pin = {
  pin: z.string().optional(),
  pin_env: z.string().optional(),
  pin_prompt: z.boolean().optional(),
};

export const hsmSchema = z.strictObject({
  module: z.string().min(1),
  token_label: z.string().min(1).max(32),
  token_serial: z.string().min(1).max(16).optional(),
  ...pin,
  sessions: z.number().int().min(1).max(64).optional(),
  timeout: durationSchema().optional(),
});

export const kmsSchema = z.strictObject({
  provider: z.enum(['aws', 'google', 'azure']),
  /** AWS. */
  region: z.string().min(1).optional(),
  /** AWS and Google. */
  endpoint: z.string().min(1).optional(),
  /** Google: `projects/P/locations/L/keyRings/R`. */
  key_ring: z.string().min(1).optional(),
  /** Azure. */
  vault: z.string().min(1).optional(),
  /** Google and Azure. */
  protection: z.enum(['hsm', 'software']).optional(),
  timeout: durationSchema().optional(),
});

/** What seals keys in files, where it is no key file. */
export const sealSchema = z.strictObject({
  passphrase: z.string().optional(),
  passphrase_env: z.string().optional(),
  passphrase_prompt: z.boolean().optional(),
});

export type WrittenHsm = z.output<typeof hsmSchema>;
export type WrittenKms = z.output<typeof kmsSchema>;
export type WrittenSeal = z.output<typeof sealSchema>;
