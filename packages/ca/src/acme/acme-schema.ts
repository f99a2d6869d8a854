import { durationSchema } from '@countersign/config';
import { z } from 'zod';
import { challengeTypes } from './acme-objects.ts';

const text = z.string().min(1).max(1000);
const port = z.number({ error: 'expected a port number' }).int().min(1).max(65_535);
const rate = z.number({ error: 'expected a number, 0 for no bound' }).int().min(0);

/** `acme` of ca.yaml as written. */
export const acmeSchema = z.strictObject({
  path: text.optional(),
  provisioner: text.optional(),
  challenges: z.array(z.enum(challengeTypes)).min(1).optional(),
  device_attestation: z
    .strictObject({ roots: z.array(text).min(1), formats: z.array(text).min(1).optional() })
    .nullish(),
  terms_of_service: text.optional(),
  website: text.optional(),
  external_account_required: z.boolean().optional(),
  external_accounts: z
    .array(z.strictObject({ kid: text, key_file: text, provisioner: text.optional() }))
    .nullish(),
  profiles: z
    .record(
      z.string(),
      z.strictObject({
        description: text.optional(),
        profile: text.optional(),
        spiffe_id: text.optional(),
        lifetime: durationSchema().optional(),
        common_name: z.boolean().optional(),
      }),
    )
    .nullish(),
  order_lifetime: durationSchema().optional(),
  authorization_lifetime: durationSchema().optional(),
  reuse_authorizations: z.boolean().optional(),
  blocked_domains: z.array(text).nullish(),
  caa_identities: z.array(text).nullish(),
  alternate_chains: z.array(text).max(9).nullish(),
  requested_validity: z.boolean().optional(),
  limits: z
    .strictObject({
      accounts_per_hour: rate.optional(),
      orders_per_hour: rate.optional(),
      identifiers: z.number().int().min(1).max(60).optional(),
    })
    .nullish(),
  validation: z
    .strictObject({
      http_port: port.optional(),
      tls_alpn_port: port.optional(),
      resolvers: z.array(text).nullish(),
      vantages: z.array(z.array(text).min(1)).min(1).nullish(),
      may_fail: z.number().int().min(0).optional(),
      allow: z.array(text).nullish(),
      timeout: durationSchema().optional(),
      retries: z.array(durationSchema()).max(10).optional(),
    })
    .nullish(),
});

export type WrittenAcme = z.output<typeof acmeSchema>;
