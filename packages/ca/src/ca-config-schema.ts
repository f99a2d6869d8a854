import { durationSchema, superiorSchema } from '@countersign/config';
import { z } from 'zod';
import { acmeSchema } from './acme/acme-schema.ts';
import { nameConstraintsSchema, subjectKeys } from './constraints/constraint-schema.ts';
import { estSchema } from './est/est-schema.ts';
import { jwtSchema } from './jwt/jwt-config.ts';
import { ledgerSchema } from './ledger/ledger-config.ts';
import { policySchema } from './policy/policy-schema.ts';
import { profilesSchema } from './profile/profile-schema.ts';
import { provisionersSchema } from './provisioners/provisioner-schema.ts';
import { publishSchema } from './publish/publish-config.ts';
import { requestsSchema } from './requests/requests-schema.ts';
import { hsmSchema, kmsSchema, sealSchema } from './signers/storage-schema.ts';
import { vaultSchema } from './vault/vault-schema.ts';

/** A number, also where it is written in quotes. */
const wholeNumber = z.union(
  [
    z.number().int().nonnegative(),
    z
      .string()
      .regex(/^\d{1,9}$/)
      .transform(Number),
  ],
  { error: 'expected a whole number' },
);

const key = {
  algorithm: z.string().optional(),
  curve: z.string().optional(),
  keySize: wholeNumber.optional(),
};

const subject = z.strictObject(subjectKeys);

/** Where keys live that are in no file: beside a certificate, for all of them under `ca`, or at the top level. */
const stores = { hsm: hsmSchema.nullish(), kms: kmsSchema.nullish() };

const authority = {
  ...key,
  validity: durationSchema().optional(),
  storage: z.string().optional(),
  ...stores,
  pathLenConstraint: wholeNumber.optional(),
  commonName: z.string().min(1).max(64).optional(),
  subject: subject.optional(),
};

const root = z.strictObject({ ...authority, signs_services: z.boolean().optional() });

const intermediate = z.strictObject({
  ...authority,
  issuer: z.string().optional(),
  nameConstraints: nameConstraintsSchema.nullish(),
  policies: z.array(z.string()).nullish(),
  profile: z.string().optional(),
});

const usages = z.array(z.string()).min(1);

const services = z.strictObject({
  ...key,
  validity: durationSchema().optional(),
  max_validity: durationSchema().optional(),
  required_extensions: z
    .array(
      z.strictObject({
        keyUsage: usages.optional(),
        extKeyUsage: usages.optional(),
        extendedKeyUsage: usages.optional(),
      }),
    )
    .nullish(),
  san_policies: z
    .strictObject({
      require_spiffe: z.boolean().optional(),
      spiffe_trust_domain: z.string().optional(),
      allowed_dns_patterns: z.array(z.string()).nullish(),
      allow_ip_san: z.boolean().optional(),
      allow_wildcards: z.boolean().optional(),
    })
    .nullish(),
});

const api = z.strictObject({
  admins: z.array(z.string()).nullish(),
  registrars: z.array(z.string()).nullish(),
  gateways: z.array(z.string()).nullish(),
  feedStreams: wholeNumber.optional(),
  bundleRefresh: durationSchema().optional(),
  address: z.string().min(1).optional(),
  port: wholeNumber.optional(),
  names: z.array(z.string()).nullish(),
});

/** The file as written; what needs a second look is in `interpretCaConfig`. */
export const caConfigSchema = z.strictObject({
  ca: z
    .strictObject({
      root: root.nullish(),
      /** Another authority that certifies the key of the root, which then stands below it too. */
      issued_by: superiorSchema.optional(),
      intermediate: z.record(z.string(), intermediate.nullable()).nullish(),
      service_certificates: services.nullish(),
      ...stores,
      seal: sealSchema.nullish(),
    })
    .nullable(),
  service_certificates: services.nullish(),
  profiles: profilesSchema.nullish(),
  policy: policySchema.nullish(),
  requests: requestsSchema.nullish(),
  ...stores,
  seal: sealSchema.nullish(),
  api: api.nullish(),
  publish: publishSchema.nullish(),
  jwt: jwtSchema.nullish(),
  acme: acmeSchema.nullish(),
  vault: vaultSchema.nullish(),
  est: estSchema.nullish(),
  provisioners: provisionersSchema.nullish(),
  step: z.strictObject({}).nullish(),
  ledger: ledgerSchema.nullish(),
});

export type WrittenCaConfig = z.output<typeof caConfigSchema>;
export type WrittenAuthority = Omit<z.output<typeof root>, 'signs_services'>;
export type WrittenRoot = z.output<typeof root>;
export type WrittenIntermediate = z.output<typeof intermediate>;
export type WrittenServices = z.output<typeof services>;
export type WrittenApi = z.output<typeof api>;
