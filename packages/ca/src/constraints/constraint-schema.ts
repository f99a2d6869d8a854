import { z } from 'zod';

/** A subject, as names of the hierarchy are written, and directory names of constraints. */
export const subjectKeys = {
  country: z
    .string()
    .regex(/^[A-Za-z]{2}$/, 'expected two letters')
    .optional(),
  organization: z.string().min(1).max(64).optional(),
  organizationalUnit: z.string().min(1).max(64).optional(),
  commonName: z.string().min(1).max(64).optional(),
};

const directory = z.strictObject(subjectKeys);
const texts = z.array(z.string()).nullish();

const side = z.union(
  [
    z.array(z.union([z.string(), z.strictObject({ directory })])),
    z.strictObject({
      dnsDomains: texts,
      uriDomains: texts,
      ipRanges: texts,
      emailAddresses: texts,
      directoryNames: z.array(directory).nullish(),
    }),
  ],
  { error: 'expected a list of names, or a map of lists by kind' },
);

export const nameConstraintsSchema = z.strictObject({
  permitted: side.nullish(),
  excluded: side.nullish(),
  critical: z.literal(true).optional(),
});

export type WrittenNameConstraints = z.output<typeof nameConstraintsSchema>;
export type WrittenSide = z.output<typeof side>;
export type WrittenDirectory = z.output<typeof directory>;
