import { durationSchema } from '@countersign/config';
import { z } from 'zod';
import { whoKeys } from '../policy/policy-schema.ts';

const usages = z.array(z.string()).min(1).optional();
const names = z.array(z.string()).nullish();
const duration = () => durationSchema().optional();

const profile = z.strictObject({
  validity: duration(),
  min_validity: duration(),
  max_validity: duration(),
  backdate: duration(),
  jitter: duration(),
  beyond_chain: z.enum(['refuse', 'clamp']).optional(),
  keyUsage: usages,
  extKeyUsage: usages,
  extensions: z
    .array(z.strictObject({ oid: z.string(), critical: z.boolean().optional(), value: z.string() }))
    .nullish(),
  policies: names,
  keys: z.array(z.string()).min(1).nullish(),
  for: z.array(z.strictObject({ ...whoKeys, names })).nullish(),
});

export const profilesSchema = z.record(z.string(), profile.nullable());

export type WrittenProfile = z.output<typeof profile>;
