import type { CodeFamily } from '../code-row.ts';

export const identityCodes = {} as const satisfies CodeFamily;
