import type { Command } from 'commander';
import type { Cli } from './cli.ts';

/** One verb: adds its arguments, options and action to the empty command that carries its name. */
export interface Verb {
  define(command: Command, cli: Cli): void;
}

/**
 * What an action ends with when the answer was no, without being an error: `check` with findings, `verify` refused.
 * The verb has printed its answer itself.
 */
export class ExitWith extends Error {
  readonly exitCode: 0 | 1 | 2 | 3;

  constructor(exitCode: 0 | 1 | 2 | 3) {
    super(`exit with ${exitCode}`);
    this.exitCode = exitCode;
  }
}
