import { createRequire } from 'node:module';
import process from 'node:process';
import { type Clock, CountersignError, type Log } from '@countersign/base';
import { Option } from 'commander';
import { pino, stdSerializers } from 'pino';
import type pinoPretty from 'pino-pretty';
import type { Cli } from '../cli.ts';

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** The log of a process, whose level may be set while it runs. */
export interface ProcessLog extends Log {
  readonly levels: { get(): string; set(level: LogLevel): void };
}

/** `--log-level` of every long-running command. */
export function logLevelOption(): Option {
  return new Option('--log-level <level>', 'least level that is logged on standard error')
    .choices(logLevels)
    .default('info');
}

/**
 * The log of a long-running command, on standard error: pretty on a terminal, JSON lines otherwise. Warnings and errors
 * are written at once, with what stands before them: a process that is killed has lost no more than what it said of
 * ordinary things in its last 20 ms.
 */
export function createLog(cli: Cli, level: LogLevel): ProcessLog {
  const all = new Set<{ level: string }>();
  const options = {
    level,
    base: null,
    timestamp: timestamps(cli.clock),
    serializers: { err: describeError },
    formatters: { level: (label: string) => ({ level: label }) },
    onChild: (child: { level: string }) => void all.add(child),
  };
  const destination = cli.errIsTerminal
    ? prettyWriter({
        destination: process.stderr.fd,
        sync: true,
        singleLine: true,
        colorize: cli.errStyle.coloured,
        translateTime: 'SYS:HH:MM:ss.l',
        ignore: 'pid,hostname',
      })
    : new GatheringWriter(pino.destination({ dest: process.stderr.fd, sync: true }));
  const log = pino(options, destination);
  all.add(log);
  const levels: ProcessLog['levels'] = {
    get: () => log.level,
    set(next) {
      for (const each of all) each.level = next;
    },
  };
  return Object.assign(log, { levels });
}

/** Loaded for a terminal alone: people wait for its start less impatiently than machines do. */
function prettyWriter(options: pinoPretty.PrettyOptions): pinoPretty.PrettyStream {
  const pretty = createRequire(import.meta.url)('pino-pretty') as typeof pinoPretty;
  return pretty(options);
}

/** A stack is for defects: what we throw ourselves says what is wrong and what to do about it. */
function describeError(thrown: unknown): unknown {
  if (thrown instanceof CountersignError) {
    const { code, message, hint, fields } = thrown;
    return { code, message, hint, ...fields };
  }
  return thrown instanceof Error ? stdSerializers.err(thrown) : thrown;
}

/** As pino wants it; what a second's times have in common is written once. */
function timestamps(clock: Clock): () => string {
  let second = Number.NaN;
  let beginning = '';
  return function timestamp() {
    const now = Math.trunc(clock.now());
    const [seconds, ms] = [Math.floor(now / 1000), now - Math.floor(now / 1000) * 1000];
    if (seconds !== second) {
      second = seconds;
      beginning = new Date(seconds * 1000).toISOString().slice(0, -4);
    }
    return `,"time":"${beginning}${String(ms).padStart(3, '0')}Z"`;
  };
}

/** How long a line of ordinary things waits for others. */
const longestWaitMs = 20;
/** As many characters are written in any case. */
const longestPending = 64 * 1024;
const warn = 40;

const pinoMetadata: unique symbol = Symbol.for('pino.metadata');

/** A write costs more than a line does, so lines go together. */
class GatheringWriter {
  /** Asks pino to keep `lastLevel`. */
  readonly [pinoMetadata] = true;
  lastLevel = 0;
  readonly #sink: { write(text: string): unknown };
  #pending = '';
  #isScheduled = false;

  constructor(sink: { write(text: string): unknown }) {
    this.#sink = sink;
    process.on('exit', () => this.#flush());
  }

  write(line: string): void {
    this.#pending += line;
    const isUrgent = this.lastLevel >= warn || this.#pending.length > longestPending;
    if (isUrgent) this.#flush();
    else if (!this.#isScheduled) setTimeout(() => this.#flush(), longestWaitMs).unref();
    this.#isScheduled ||= !isUrgent;
  }

  #flush(): void {
    this.#isScheduled = false;
    const text = this.#pending;
    this.#pending = '';
    if (text !== '') this.#sink.write(text);
  }
}
