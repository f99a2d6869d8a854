import type { CodeFamily } from '../code-row.ts';

export const gatewayCodes = {} as const satisfies CodeFamily;
