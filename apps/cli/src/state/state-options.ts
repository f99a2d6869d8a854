import type { Command } from 'commander';

/** How a command that is run by whoever holds the state is told where it is and how its keys are opened. */
export interface StateOptions {
  readonly data: string;
  readonly config?: string;
  readonly passphrase?: string;
  readonly keyFile?: string;
}

/** `--data`, `--config`, `--passphrase`, `--key-file` of commands that go through the server, or open the state. */
export function addStateOptions(command: Command): Command {
  return addSealOptions(
    command
      .requiredOption('--data <dir>', "the authority's data directory, made by init")
      .option('--config <file>', 'ca.yaml; without it, as init or the last `ca serve` read it'),
  );
}

export function addSealOptions(command: Command): Command {
  return command
    .option(
      '--passphrase <secret>',
      'what seals the keys, where init was given one: @FILE or - for standard input',
    )
    .option('--key-file <file>', 'the key file, where it is not in the data directory');
}
