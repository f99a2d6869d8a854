import { CountersignError } from '@countersign/base';

const pattern =
  /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))$/;

/**
 * The moment that an RFC 3339 date-time names, with any offset, in milliseconds since the Unix epoch.
 * Digits below a millisecond are dropped; a leap second is the first moment of the next minute.
 *
 * @throws CountersignError ERR_CLI_TIME
 */
export function parseRfc3339(text: string): number {
  const found = pattern.exec(text);
  if (found === null) throw refused(text, 'is not an RFC 3339 time with its offset');
  const at = (i: number) => Number(found[i] ?? 0);
  const [year, month, day, hour, minute, second] = [at(1), at(2), at(3), at(4), at(5), at(6)];
  // RFC 3339 §5.7
  if (month < 1 || month > 12) throw refused(text, `has month ${month}, not 1 to 12`);
  const days = new Date(Date.UTC(2000, month, 0)).getUTCDate();
  const lastDay = month === 2 && !isLeapYear(year) ? 28 : days;
  if (day < 1 || day > lastDay) throw refused(text, `has day ${day}, not 1 to ${lastDay}`);
  if (hour > 23 || minute > 59) throw refused(text, `has the hour ${found[4]}:${found[5]}`);
  if (second > 60) throw refused(text, `has second ${second}, not 0 to 60`);
  if (at(9) > 23 || at(10) > 59) throw refused(text, `has the offset ${found[9]}:${found[10]}`);
  const fractionMs = Number((found[7] ?? '').padEnd(3, '0').slice(0, 3));
  const offsetMinutes = (found[8] === '-' ? -1 : 1) * (at(9) * 60 + at(10));
  const local = new Date(0);
  local.setUTCFullYear(year, month - 1, day);
  local.setUTCHours(hour, minute, second, fractionMs);
  return local.getTime() - offsetMinutes * 60_000;
}

/** The RFC 3339 text of a moment in UTC, whole seconds where it has no fraction. */
export function formatRfc3339(at: number): string {
  return new Date(at).toISOString().replace('.000Z', 'Z');
}

function isLeapYear(year: number): boolean {
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
}

function refused(text: string, reason: string): CountersignError {
  return new CountersignError('ERR_CLI_TIME', `read time "${text.slice(0, 64)}": it ${reason}`, {
    fields: { time: text.slice(0, 64) },
  });
}
