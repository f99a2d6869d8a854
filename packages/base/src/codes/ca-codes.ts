import type { CodeFamily } from '../code-row.ts';

export const caCodes = {} as const satisfies CodeFamily;
