import type { CodeFamily } from '../code-row.ts';

export const authzCodes = {} as const satisfies CodeFamily;
