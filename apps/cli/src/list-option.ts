import { Option } from 'commander';

/** An option that may be given several times; its value is the list, undefined where it is not given. */
export function listOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((value: string, before?: string[]) => [
    ...(before ?? []),
    value,
  ]);
}
