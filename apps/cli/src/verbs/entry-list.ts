import { formatDuration } from '@countersign/base';
import type { RegisteredEntry } from '@countersign/wire';
import type { Cli } from '../cli.ts';
import {
  addEntryAccessOptions,
  type EntryAccessOptions,
  withEntries,
} from '../entries/entry-access.ts';
import { outputOption } from '../output-option.ts';
import type { Verb } from '../verb.ts';

interface EntryListOptions extends EntryAccessOptions {
  readonly output: string;
}

/** `countersign entry list`: the registration entries of the authority. */
export const entryListVerb: Verb = {
  define(command, cli) {
    addEntryAccessOptions(command)
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: EntryListOptions) => list(cli, options));
  },
};

const help = `
Example:
  countersign entry list --data state -o json`;

async function list(cli: Cli, options: EntryListOptions): Promise<void> {
  const entries = await withEntries(cli, options, (access) => access.list());
  if (options.output === 'json') return cli.out(`${JSON.stringify(entries, null, 2)}\n`);
  if (entries.length === 0) return cli.out('no entries\n');
  await cli.out(`${entries.map(textOf).join('\n')}`);
}

function textOf(entry: RegisteredEntry): string {
  const { id, spiffeId, agent, selectors, hint, ttlMs, jwtTtlMs, dns, federatesWith } = entry;
  const more = [
    hint === '' ? '' : `hint ${hint}`,
    ttlMs === undefined ? '' : `certificates of ${formatDuration(ttlMs)}`,
    jwtTtlMs === undefined ? '' : `tokens of ${formatDuration(jwtTtlMs)}`,
    dns.length === 0 ? '' : `dns ${dns.join(', ')}`,
    federatesWith.length === 0 ? '' : `federates with ${federatesWith.join(', ')}`,
  ].filter((each) => each !== '');
  const lines = [`${id}  ${spiffeId}`, `  by ${agent}`, `  for ${selectors.join(' and ')}`];
  return `${[...lines, ...more.map((each) => `  ${each}`)].join('\n')}\n`;
}
