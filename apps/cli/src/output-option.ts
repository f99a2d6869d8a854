import { Option } from 'commander';

/** `-o, --output text|json` of every reading command. */
export function outputOption(): Option {
  return new Option('-o, --output <format>', 'print for people, or as JSON')
    .choices(['text', 'json'])
    .default('text');
}
