import type { Command } from 'commander';
import { outputOption } from '../output-option.ts';

/** Which log: files of a data directory, or an authority that serves. */
export interface LogOptions {
  readonly data?: string;
  readonly ca?: string;
  readonly identity?: string;
  readonly fingerprint?: string;
  readonly key?: string;
  readonly output: string;
}

export function addLogOptions(command: Command): Command {
  return addAuthorityOptions(
    command.option('--data <dir>', "the authority's data directory, or a copy of it with its log/"),
  );
}

export function addAuthorityOptions(command: Command): Command {
  return command
    .option('--ca <url>', 'the authority that serves the log: https://HOST:PORT')
    .option('--identity <dir>', 'with --ca: an identity of it, by whose bundle it is known')
    .option('--fingerprint <sha256>', "with --ca: SHA-256 of the root's DER, by which it is known")
    .option('--key <key>', "the log's key NAME+ID+BASE64, or @FILE; its own word unless given")
    .addOption(outputOption());
}
