import type { CodeFamily } from '../code-row.ts';

export const x509Codes = {} as const satisfies CodeFamily;
