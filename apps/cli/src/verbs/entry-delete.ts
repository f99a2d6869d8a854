import type { Cli } from '../cli.ts';
import {
  addEntryAccessOptions,
  type EntryAccessOptions,
  withEntries,
} from '../entries/entry-access.ts';
import type { Verb } from '../verb.ts';

/** `countersign entry delete`: its workloads lose their streams at once. */
export const entryDeleteVerb: Verb = {
  define(command, cli) {
    addEntryAccessOptions(command)
      .argument('<id>', 'of the entry, as `countersign entry list` prints it')
      .addHelpText('after', help)
      .action((id: string, options: EntryAccessOptions) => remove(cli, id, options));
  },
};

const help = `
Certificates that were issued by it stay good until they end: countersign revoke ends them now.

Example:
  countersign entry delete --data state 6f1c2a9b04d83e5577aa0c1d`;

async function remove(cli: Cli, id: string, options: EntryAccessOptions): Promise<void> {
  const entry = await withEntries(cli, options, (entries) => entries.delete(id));
  await cli.out(`deleted ${entry.id} for ${entry.spiffeId}\n`);
}
