import type { CodeFamily } from '../code-row.ts';

export const cliCodes = {} as const satisfies CodeFamily;
