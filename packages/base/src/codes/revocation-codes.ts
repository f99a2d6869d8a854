import type { CodeFamily } from '../code-row.ts';

export const revocationCodes = {} as const satisfies CodeFamily;
