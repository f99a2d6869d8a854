import { tags } from './tags.ts';

/**
 * YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ (RFC 5280 §4.1.2.5.1, .2) in ms since the epoch, or undefined: no fractions, no
 * offsets, no leap seconds, only days that exist.
 */
export function decodeTime(
  bytes: Uint8Array,
  from: number,
  to: number,
  tag: number,
): number | undefined {
  const yearDigits = tag === tags.utcTime ? 2 : 4;
  if (to - from !== yearDigits + 11 || bytes[to - 1] !== 0x5a) return undefined;
  for (let at = from; at < to - 1; at += 1) {
    const octet = bytes[at] ?? 0;
    if (octet < 0x30 || octet > 0x39) return undefined;
  }
  const two = (at: number): number => ((bytes[at] ?? 0) - 48) * 10 + (bytes[at + 1] ?? 0) - 48;
  let at = from + yearDigits;
  let year = two(from);
  if (yearDigits === 4) year = year * 100 + two(from + 2);
  else year += year >= 50 ? 1900 : 2000;
  const month = two(at);
  const day = two(at + 2);
  const hour = two(at + 4);
  const minute = two(at + 6);
  const second = two(at + 8);
  at += 10;
  if (month < 1 || month > 12 || day < 1 || day > daysOf(year, month)) return undefined;
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  if (year >= 100) return Date.UTC(year, month - 1, day, hour, minute, second);
  return (
    new Date(0).setUTCFullYear(year, month - 1, day) + (hour * 3600 + minute * 60 + second) * 1000
  );
}

/** UTCTime from 1950 through 2049, GeneralizedTime otherwise; to the second, rounded down. */
export function encodeTime(ms: number): { readonly tag: number; readonly text: string } {
  const text = generalizedText(ms);
  const year = Number(text.slice(0, 4));
  if (year < 1950 || year > 2049) return { tag: tags.generalizedTime, text };
  return { tag: tags.utcTime, text: text.slice(2) };
}

/** @throws RangeError for a year outside 0–9999 */
export function generalizedText(ms: number): string {
  const date = new Date(ms);
  const year = date.getUTCFullYear();
  if (!(year >= 0 && year <= 9999)) throw new RangeError(`${ms} ms is no time of the years 0–9999`);
  const day = two(date.getUTCMonth() + 1) + two(date.getUTCDate());
  const time = two(date.getUTCHours()) + two(date.getUTCMinutes()) + two(date.getUTCSeconds());
  return `${two(Math.trunc(year / 100))}${two(year % 100)}${day}${time}Z`;
}

function two(number: number): string {
  return number < 10 ? `0${number}` : `${number}`;
}

function daysOf(year: number, month: number): number {
  if (month !== 2) return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
}
