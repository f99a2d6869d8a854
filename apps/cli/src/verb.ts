import type { Command } from 'commander';
import type { Cli } from './cli.ts';

/** One verb: adds its arguments, options and action to the empty command that carries its name. */
export interface Verb {
  define(command: Command, cli: Cli): void;
}

/**
 * What an action ends with when the answer was no, without being an error: `check` with findings, `verify` refused.
 * The verb has printed its answer itself. `exec` hands on the code of the program that it ran, from 0 to 255.
 */
export class ExitWith extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`exit with ${exitCode}`);
    this.exitCode = exitCode;
  }
}
