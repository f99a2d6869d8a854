import process from 'node:process';
import { CountersignError, type Log } from '@countersign/base';
import { Option } from 'commander';
import { pino, stdSerializers } from 'pino';
import pretty from 'pino-pretty';
import type { Cli } from '../cli.ts';

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** `--log-level` of every long-running command. */
export function logLevelOption(): Option {
  return new Option('--log-level <level>', 'least level that is logged on standard error')
    .choices(logLevels)
    .default('info');
}

/**
 * The log of a long-running command, on standard error: pretty on a terminal, JSON lines otherwise. Written at once:
 * a process that is killed has lost no line.
 */
export function createLog(cli: Cli, level: LogLevel): Log {
  const options = {
    level,
    base: null,
    timestamp: () => `,"time":"${new Date(cli.clock.now()).toISOString()}"`,
    serializers: { err: describeError },
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const destination = cli.errIsTerminal
    ? pretty({
        destination: process.stderr.fd,
        sync: true,
        singleLine: true,
        colorize: cli.errStyle.coloured,
        translateTime: 'SYS:HH:MM:ss.l',
        ignore: 'pid,hostname',
      })
    : pino.destination({ dest: process.stderr.fd, sync: true });
  return pino(options, destination);
}

/** A stack is for defects: what we throw ourselves says what is wrong and what to do about it. */
function describeError(thrown: unknown): unknown {
  if (thrown instanceof CountersignError) {
    const { code, message, hint, fields } = thrown;
    return { code, message, hint, ...fields };
  }
  return thrown instanceof Error ? stdSerializers.err(thrown) : thrown;
}
