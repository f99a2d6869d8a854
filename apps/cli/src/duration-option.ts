import { CountersignError, formatDuration, parseDuration } from '@countersign/base';
import { Option } from 'commander';

/**
 * An option whose value is a duration as Go writes it; it arrives in milliseconds, whole ones.
 *
 * @param longestMs the longest that means anything; any unless given
 * @param shortestMs the shortest; 0 unless given
 */
export function durationOption(
  flags: string,
  description: string,
  longestMs?: number,
  shortestMs = 0,
): Option {
  const option = new Option(flags, description);
  const name = option.long ?? flags;
  return option.argParser((text: string) => {
    const ms = parsed(name, text);
    if (!Number.isInteger(ms)) throw wrong(name, `"${text}" is finer than a millisecond`);
    if (ms < shortestMs) {
      throw wrong(name, `"${text}" is shorter than "${formatDuration(shortestMs)}"`);
    }
    if (longestMs === undefined || ms <= longestMs) return ms;
    throw wrong(name, `"${text}" is longer than "${formatDuration(longestMs)}"`);
  });
}

function parsed(name: string, text: string): number {
  try {
    return parseDuration(text);
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    throw wrong(name, thrown.message);
  }
}

function wrong(name: string, reason: string): CountersignError {
  return new CountersignError('ERR_DURATION', `${name}: ${reason}`);
}
