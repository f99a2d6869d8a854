import process from 'node:process';
import { type Log, messageOf } from '@countersign/base';
import type { Cli } from '../cli.ts';

/** What runs until it is told to end. */
export interface Running {
  /** What `ready` names, the first is the one to talk to. */
  readonly urls: readonly string[];
  /** Resolves, with the reason, when somebody asks for the end beside a signal. */
  readonly asked?: Promise<string>;
  /** SIGHUP: read configuration again; a failure keeps what runs. */
  reload(): Promise<void>;
  /** Finish what is under way, then let go of everything. */
  close(): Promise<void>;
}

/**
 * A supervisor signals the whole process group, and a launcher in it passes its copy on: what comes this soon after the
 * first signal is an echo of it, not impatience.
 */
const echoMs = 1000;

/**
 * Says `ready <url>…` on standard output, the only line there, and serves until SIGTERM or SIGINT (drain, exit 0;
 * another one, a second or more later, ends at once). SIGHUP reloads. Where a parent started us with a channel, its end
 * counts as SIGTERM: a parent that was killed cannot leave us behind.
 */
export async function runUntilSignal(cli: Cli, log: Log, running: Running): Promise<void> {
  let end: (reason: string) => void = () => {};
  const ended = new Promise<string>((resolve) => {
    end = resolve;
  });
  let askedAt: number | undefined;
  const onEnd = (signal: NodeJS.Signals) => {
    const now = cli.clock.monotonic();
    askedAt ??= now;
    if (now - askedAt >= echoMs) process.exit(130);
    end(signal);
  };
  const onHup = () => {
    log.info({}, 'reloading');
    running.reload().then(
      () => log.info({}, 'reloaded'),
      (thrown) => log.error({ reason: messageOf(thrown) }, 'reload failed, the old state stays'),
    );
  };
  process.on('SIGTERM', onEnd).on('SIGINT', onEnd).on('SIGHUP', onHup);
  void running.asked?.then(end);
  process.on('disconnect', () => end('parent gone'));
  if (process.connected === false) end('parent gone');
  try {
    await cli.out(`ready ${running.urls.join(' ')}\n`);
    log.info({ reason: await ended }, 'ending');
  } finally {
    await running.close();
    process.off('SIGHUP', onHup);
  }
}
