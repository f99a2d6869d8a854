import type { CodeFamily } from '../code-row.ts';

export const wireCodes = {} as const satisfies CodeFamily;
