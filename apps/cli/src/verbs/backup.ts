import { counted } from '@countersign/base';
import { backUpState } from '@countersign/ca';
import type { Cli } from '../cli.ts';
import { outputOption } from '../output-option.ts';
import { type LedgerOptions, withLedger } from '../state/with-ledger.ts';
import type { Verb } from '../verb.ts';

interface BackupOptions extends LedgerOptions {
  readonly out: string;
  readonly withKeyFiles?: true;
  readonly output: string;
}

/** `countersign backup`: an authority's data directory and ledger, also while it serves. */
export const backupVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption('--data <dir>', "the authority's data directory, made by init")
      .option('--config <file>', 'ca.yaml; without it, as init or the last `ca serve` read it')
      .requiredOption('--out <dir>', 'the directory to make; it must not be there')
      .option(
        '--with-key-files',
        'what opens the sealed keys as well: then guard the backup as them',
      )
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: BackupOptions) => run(cli, options));
  },
};

const help = `
Example:
  countersign backup --data state --out backup-$(date +%F)
  countersign restore --from backup-2026-01-31 --data state`;

async function run(cli: Cli, options: BackupOptions): Promise<void> {
  const { data, out, withKeyFiles } = options;
  const made = await withLedger(cli, options, (ledger) =>
    backUpState({ data, out, ledger, withKeyFiles }),
  );
  const { seq, hash } = made.audit;
  const facts = { out, ...made, withKeyFiles: withKeyFiles === true };
  await cli.out(
    options.output === 'json'
      ? `${JSON.stringify(facts, null, 2)}\n`
      : `${counted(made.records, 'ledger record')}, newest audit row ${seq}:${hash}\n`,
  );
  if (withKeyFiles === true) return;
  cli.err('key files are not in it: without them, or the passphrase, its keys cannot be opened\n');
}
