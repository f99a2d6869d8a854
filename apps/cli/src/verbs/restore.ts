import { join } from 'node:path';
import { counted } from '@countersign/base';
import { restoreState } from '@countersign/ca';
import type { Cli } from '../cli.ts';
import { outputOption } from '../output-option.ts';
import { createLog } from '../serve/pino-log.ts';
import { readCaConfig } from '../state/open-state.ts';
import { secretPlaces } from '../state/secret-places.ts';
import type { Verb } from '../verb.ts';

interface RestoreVerbOptions {
  readonly from: string;
  readonly data: string;
  readonly config?: string;
  readonly output: string;
}

/** `countersign restore`: a data directory from a backup, whose ledger is proved sound before it gets its name. */
export const restoreVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption('--from <dir>', 'what `countersign backup` made')
      .requiredOption('--data <dir>', 'the data directory to make; it must not be there')
      .option(
        '--config <file>',
        'ca.yaml to go on with, which is kept; without it, that of the backup',
      )
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: RestoreVerbOptions) => run(cli, options));
  },
};

const help = `
The ledger goes where the configuration says: into a file, or an empty schema of a database. What was issued and
revoked behind the backup is not in it: gateways that had those revocations are told that the ledger went back.

Example:
  countersign restore --from backup-2026-01-31 --data state`;

async function run(cli: Cli, options: RestoreVerbOptions): Promise<void> {
  const { from, data } = options;
  const { config, text } = await readCaConfig(cli, options.config ?? join(from, 'ca.yaml'));
  const restored = await restoreState({
    from,
    data,
    config,
    ...(options.config !== undefined && { configText: text }),
    secrets: secretPlaces(cli),
    clock: cli.clock,
    log: createLog(cli, 'warn'),
  });
  const { records, issued, auditRows, withKeyFiles } = restored;
  await cli.out(
    options.output === 'json'
      ? `${JSON.stringify({ data, ...restored }, null, 2)}\n`
      : `sound: ${counted(records, 'ledger record')}, ${counted(issued, 'certificate')}, ${counted(auditRows, 'audit row')}\n`,
  );
  if (!withKeyFiles) cli.err('key files are not in the backup: put them in their place again\n');
}
