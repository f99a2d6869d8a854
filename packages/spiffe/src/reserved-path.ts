import type { SpiffeId } from './spiffe-id.ts';

/** What is below it names the authority itself in each trust domain of ours, and no workload. */
export const reservedPath = '/countersign';

/** Path of the SPIFFE ID that an authority gives to itself and to nobody else. */
export const authorityPath = `${reservedPath}/ca`;

/** Whether an ID is the authority's to use: who could enrol under it could pose as the authority. */
export function isReserved({ path }: SpiffeId): boolean {
  return path === reservedPath || path.startsWith(`${reservedPath}/`);
}
