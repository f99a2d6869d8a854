export interface Validity {
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

const soonestMs = 1000;

/**
 * How long to wait with the next look at something that is valid in this period: at most `everyMs`, and ahead of its end
 * by a tenth to a quarter of the period, so that neither one slow answer nor a herd of edges makes anybody late. Near
 * the end without news it is looked at sooner and sooner, at most once a second.
 */
export function refreshInMs(
  { thisUpdate, nextUpdate }: Validity,
  now: number,
  everyMs: number,
  random: () => number,
): number {
  const period = Math.max(0, nextUpdate - thisUpdate);
  const ahead = nextUpdate - period * (0.1 + 0.15 * random()) - now;
  const wanted = ahead > 0 ? ahead : (nextUpdate - now) / 4;
  const often = everyMs * (0.8 + 0.2 * random());
  return Math.max(soonestMs, Math.min(wanted, often));
}
