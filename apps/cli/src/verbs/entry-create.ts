import type { Cli } from '../cli.ts';
import { durationOption } from '../duration-option.ts';
import {
  addEntryAccessOptions,
  type EntryAccessOptions,
  withEntries,
} from '../entries/entry-access.ts';
import { listOption } from '../list-option.ts';
import type { Verb } from '../verb.ts';

interface EntryCreateOptions extends EntryAccessOptions {
  readonly spiffeId: string;
  readonly agent: string;
  readonly selector?: string[];
  readonly hint?: string;
  readonly ttl?: number;
  readonly jwtTtl?: number;
  readonly dns?: string[];
  readonly federatesWith?: string[];
}

/** `countersign entry create`: which process of which agent gets which identity; prints its id. */
export const entryCreateVerb: Verb = {
  define(command, cli) {
    addEntryAccessOptions(command)
      .requiredOption('--spiffe-id <id>', 'the SPIFFE ID that the process gets')
      .requiredOption('--agent <id>', 'SPIFFE ID of the agent that hands it out')
      .addOption(
        listOption(
          '--selector <selector>',
          'what the process is known by; all must match',
        ).makeOptionMandatory(),
      )
      .option('--hint <text>', 'what the identity is for, told to the workload')
      .addOption(
        durationOption('--ttl <duration>', 'lifetime of its certificates', undefined, 1000),
      )
      .addOption(durationOption('--jwt-ttl <duration>', 'lifetime of its tokens', undefined, 1000))
      .addOption(listOption('--dns <name>', 'a DNS name of its certificates; may be repeated'))
      .addOption(listOption('--federates-with <domain>', 'a trust domain whose bundle it gets too'))
      .addHelpText('after', help)
      .action((options: EntryCreateOptions) => create(cli, options));
  },
};

const help = `
It reaches the agent, and the workload's open streams, at once. Prints the id of the entry.

Example:
  countersign entry create --data state --agent spiffe://example.com/agent/one \\
    --spiffe-id spiffe://example.com/ns/prod/sa/web --selector unix:user:www-data --selector unix:path:/usr/sbin/nginx`;

async function create(cli: Cli, options: EntryCreateOptions): Promise<void> {
  const { spiffeId, agent, selector = [], hint = '', ttl, jwtTtl } = options;
  const { dns = [], federatesWith = [] } = options;
  const draft = {
    ...{ spiffeId, agent, selectors: selector, hint, dns, federatesWith },
    ...(ttl !== undefined && { ttlMs: ttl }),
    ...(jwtTtl !== undefined && { jwtTtlMs: jwtTtl }),
  };
  const entry = await withEntries(cli, options, (entries) => entries.create(draft));
  await cli.out(`${entry.id}\n`);
}
