import type { CodeFamily } from '../code-row.ts';

export const spiffeCodes = {} as const satisfies CodeFamily;
