import { CountersignError, nearestWord } from '@countersign/base';

export interface PebbleFlags {
  readonly config: string;
  /** `host:port`; undefined: as the machine resolves names. */
  readonly dnsServer: string | undefined;
  readonly strict: boolean;
  readonly asks: 'nothing' | 'help' | 'version';
}

const flags = {
  config: 'word',
  dnsserver: 'word',
  strict: 'switch',
  version: 'switch',
  help: 'switch',
  h: 'switch',
} as const;

/**
 * Flags as Go's programs take them: one dash or two, a value after `=` or as the next word; a switch takes `=false`.
 *
 * @throws CountersignError ERR_USAGE
 */
export function parsePebbleFlags(typed: readonly string[]): PebbleFlags {
  const found = new Map<string, string>();
  const words = [...typed];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const match = /^--?([A-Za-z]+)(?:=(.*))?$/s.exec(word);
    if (match === null) throw wrong(`"${word}" is no flag`);
    const [, name = '', written] = match;
    if (!Object.hasOwn(flags, name)) {
      const nearest = nearestWord(name, Object.keys(flags));
      throw wrong(
        `unknown flag "${word}"${nearest === undefined ? '' : `, nearest is "-${nearest}"`}`,
      );
    }
    if (flags[name as keyof typeof flags] === 'switch') {
      found.set(name, switchOf(name, written));
      continue;
    }
    const value = written ?? words.shift();
    if (value === undefined) throw wrong(`flag "-${name}" needs a value`);
    found.set(name, value);
  }
  const isOn = (name: string) => found.get(name) === 'true';
  return {
    config: found.get('config') ?? 'test/config/pebble-config.json',
    dnsServer: found.get('dnsserver') || undefined,
    strict: isOn('strict'),
    asks: isOn('help') || isOn('h') ? 'help' : isOn('version') ? 'version' : 'nothing',
  };
}

export const pebbleHelp = `Usage: countersign-pebble [-config FILE] [-dnsserver HOST:PORT] [-strict]

A stand-in for Pebble, the ACME server of Let's Encrypt for tests of clients, over the
ACME of Countersign. For tests alone: its state is gone when it ends, and it hands the
keys of its roots to whoever asks.

  -config FILE          Pebble's own file (default test/config/pebble-config.json)
  -dnsserver HOST:PORT  resolver for validations (default: as the machine resolves names)
  -strict               refuse what RFC 8555 forbids and other servers let pass
  -version              print the version
`;

const booleans: Readonly<Record<string, 'true' | 'false'>> = {
  ...{ '1': 'true', t: 'true', T: 'true', true: 'true', TRUE: 'true', True: 'true' },
  ...{ '0': 'false', f: 'false', F: 'false', false: 'false', FALSE: 'false', False: 'false' },
};

function switchOf(name: string, written: string | undefined): string {
  const value = written === undefined ? 'true' : booleans[written];
  if (value !== undefined) return value;
  throw wrong(`flag "-${name}" is true or false, found "${written}"`);
}

function wrong(what: string): CountersignError {
  return new CountersignError('ERR_USAGE', `start countersign-pebble: ${what}`, {
    hint: 'run `countersign-pebble -help`',
  });
}
