import { initAuthority } from '@countersign/ca';
import type { Cli } from '../cli.ts';
import { readLastingSecret } from '../secret-argument.ts';
import { createLog } from '../serve/pino-log.ts';
import { readCaConfig } from '../state/open-state.ts';
import { secretPlaces } from '../state/secret-places.ts';
import type { Verb } from '../verb.ts';

interface InitVerbOptions {
  readonly config: string;
  readonly data: string;
  readonly passphrase?: string;
  readonly keyFile?: string;
}

/** `countersign init`: a new authority in an empty directory; its root's SHA-256 is the one line of the answer. */
export const initVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption('--config <file>', 'ca.yaml')
      .requiredOption('--data <dir>', 'where the authority keeps its state: missing or empty')
      .option('--passphrase <secret>', 'seals the keys: @FILE or - for standard input')
      .option(
        '--key-file <file>',
        'where to make the key file that seals them; in the data directory unless given',
      )
      .addHelpText('after', help)
      .action((options: InitVerbOptions) => init(cli, options));
  },
};

const help = `
Prints the SHA-256 of the root's DER, which callers pin. Without a passphrase the keys are sealed with a
key file that is made for it.

Example:
  countersign init --config ca.yaml --data state`;

async function init(cli: Cli, options: InitVerbOptions): Promise<void> {
  const { data, passphrase, keyFile } = options;
  const { text, config } = await readCaConfig(cli, options.config);
  const made = await initAuthority({
    config,
    data,
    configText: text,
    clock: cli.clock,
    secrets: secretPlaces(cli),
    log: createLog(cli, 'warn'),
    ...(keyFile !== undefined && { keyFile }),
    ...(passphrase !== undefined && {
      passphrase: await readLastingSecret(cli, passphrase, '--passphrase', (text) =>
        cli.err(`note: ${text}\n`),
      ),
    }),
  });
  for (const notice of config.notices) cli.err(`note: ${notice}\n`);
  if (made.keyFile !== undefined) {
    cli.err(`keys are sealed with the key file "${made.keyFile}": keep a copy of it elsewhere\n`);
  }
  await cli.out(`${made.rootFingerprint}\n`);
}
