import type { CodeFamily } from '../code-row.ts';

export const mtlsCodes = {} as const satisfies CodeFamily;
