import { InvalidArgumentError, Option } from 'commander';

/** An option whose value is a port, 0 for any free one. */
export function portOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text: string) => {
    const port = Number(text);
    if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
    throw new InvalidArgumentError('it is not a port, 0 to 65535');
  });
}
