/**
 * How long to wait after the nth failure in a row (from 1): doubling from `minMs` up to `maxMs`, half of it random, so
 * that edges that lost the authority in the same moment do not come back in the same moment.
 */
export function backoffMs(
  failures: number,
  range: { readonly minMs: number; readonly maxMs: number },
  random: () => number,
): number {
  const full = Math.min(range.maxMs, range.minMs * 2 ** Math.min(failures - 1, 30));
  return full / 2 + (full / 2) * random();
}
