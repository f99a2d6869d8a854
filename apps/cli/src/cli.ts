import process from 'node:process';
import type { Readable } from 'node:stream';
import { type Clock, CountersignError, messageOf, systemClock } from '@countersign/base';
import { createStyle, type Style } from './style.ts';

/** The world of a command: what it may read and write, passed to every verb. */
export interface Cli {
  readonly stdin: Readable;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
  /**
   * Text to standard output as it is, the answer and nothing else. Resolves when more may be written.
   *
   * @throws CountersignError ERR_CLI_OUTPUT
   */
  out(text: string): Promise<void>;
  /** Text to standard error as it is: logs, notes, errors. */
  err(text: string): void;
  readonly outStyle: Style;
  readonly errStyle: Style;
  readonly outIsTerminal: boolean;
  readonly errIsTerminal: boolean;
}

/** The world of the running process. */
export function systemCli(): Cli {
  const { stdin, stdout, stderr, env } = process;
  return {
    stdin,
    clock: systemClock,
    env,
    out: (text) =>
      new Promise((resolve, reject) => {
        stdout.write(text, (thrown) => {
          if (thrown == null) resolve();
          else reject(unwritten(thrown));
        });
      }),
    err: (text) => {
      stderr.write(text);
    },
    outStyle: createStyle(coloured(stdout.isTTY, env)),
    errStyle: createStyle(coloured(stderr.isTTY, env)),
    outIsTerminal: stdout.isTTY === true,
    errIsTerminal: stderr.isTTY === true,
  };
}

function unwritten(thrown: Error): CountersignError {
  const message = `write to standard output: ${messageOf(thrown)}`;
  return new CountersignError('ERR_CLI_OUTPUT', message, { cause: thrown });
}

function coloured(isTerminal: boolean | undefined, env: NodeJS.ProcessEnv): boolean {
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== '') return false;
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '' && env.FORCE_COLOR !== '0')
    return true;
  return isTerminal === true && env.TERM !== 'dumb';
}
