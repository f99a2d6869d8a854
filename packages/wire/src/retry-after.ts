import { CountersignError } from '@countersign/base';

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Nobody is sent away for longer, whatever it is told. */
const longestMs = 3_600_000;

/**
 * After how many milliseconds an answer says that it may be asked again, an hour at most; undefined where it does not. A
 * date is taken by the sender's own clock, the answer's `Date`.
 */
// RFC 9110 §10.2.3: a number of seconds, or a date
export function retryAfterOf(headers: Headers): number | undefined {
  const { 'retry-after': told, date } = headers;
  if (typeof told !== 'string') return undefined;
  const ms = /^\d{1,9}$/.test(told)
    ? Number(told) * 1000
    : Date.parse(told) - (typeof date === 'string' ? Date.parse(date) : Number.NaN);
  return Number.isNaN(ms) ? undefined : Math.min(longestMs, Math.max(0, ms));
}

/** The same of what a client of the authority threw. */
export function retryAfterOfError(thrown: unknown): number | undefined {
  const fields = thrown instanceof CountersignError ? thrown.fields : {};
  const { retryAfterMs } = fields;
  return typeof retryAfterMs === 'number' ? retryAfterMs : undefined;
}
