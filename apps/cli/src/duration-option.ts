import { parseDuration } from '@countersign/base';
import { Option } from 'commander';

/** An option whose value is a duration as Go writes it; it arrives in milliseconds. */
export function durationOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text: string) => parseDuration(text));
}
