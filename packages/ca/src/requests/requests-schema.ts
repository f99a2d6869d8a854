import { z } from 'zod';

const files = z.union([z.string(), z.array(z.string())], {
  error: 'expected the path of a file, or a list of them',
});

export const requestsSchema = z.strictObject({
  reused_keys: z.enum(['allow', 'refuse']).optional(),
  blocked_keys: files.nullish(),
  debian_weak_keys: files.nullish(),
  common_name: z.enum(['ignore', 'match', 'refuse']).optional(),
  other_extensions: z.enum(['refuse', 'ignore']).optional(),
  other_names: z.enum(['refuse', 'ignore']).optional(),
});

export type WrittenRequests = z.output<typeof requestsSchema>;
