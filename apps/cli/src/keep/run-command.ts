import { execFile } from 'node:child_process';
import { CountersignError, type Log } from '@countersign/base';
import type { Cli } from '../cli.ts';

export interface CommandRun {
  readonly command: readonly string[];
  readonly timeoutMs: number;
  /** Of the entries that it is run for. */
  readonly names: readonly string[];
}

const mostOutput = 1024 * 1024;
const mostShown = 500;

/**
 * Runs what is to be run once files have changed, such as the reload of a service.
 *
 * @throws CountersignError ERR_KEEP_COMMAND with the end of what it said
 */
export async function runCommand(
  { command, timeoutMs, names }: CommandRun,
  { env }: Pick<Cli, 'env'>,
  log: Log,
): Promise<void> {
  const [program = '', ...args] = command;
  const options = {
    timeout: timeoutMs,
    killSignal: 'SIGKILL' as const,
    maxBuffer: mostOutput,
    env: { ...env, COUNTERSIGN_CERTIFICATES: names.join(' ') },
  };
  await new Promise<void>((resolve, reject) => {
    execFile(program, args, options, (failed, stdout, stderr) => {
      const said = `${stdout}${stderr}`.trim().slice(-mostShown);
      if (failed === null) {
        log.debug({ command, said }, 'command done');
        return resolve();
      }
      const { code, killed } = failed;
      const how = killed === true ? `no end within ${timeoutMs} ms` : `it ended with ${code}`;
      const message = `run "${command.join(' ')}": ${how}${said === '' ? '' : `: ${said}`}`;
      reject(new CountersignError('ERR_KEEP_COMMAND', message, { cause: failed }));
    });
  });
}
