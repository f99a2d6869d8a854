import { CountersignError } from '@countersign/base';
import { readIdentity } from '@countersign/identity';
import { parseSpiffeId } from '@countersign/spiffe';
import type { Cli } from '../cli.ts';
import { durationOption } from '../duration-option.ts';
import { listOption } from '../list-option.ts';
import { type Alert, BehindCheck, followerOf, keepState, watchOnce } from '../log/follow-log.ts';
import { KnownKeys } from '../log/known-keys.ts';
import { addAuthorityOptions, type LogOptions } from '../log/log-options.ts';
import { plainSerial } from '../log/logged-certificate.ts';
import { headOf, openLog, usage } from '../log/open-log.ts';
import { untilSignal } from '../log/until-signal.ts';
import { ExitWith, type Verb } from '../verb.ts';

interface LogWatchOptions extends LogOptions {
  readonly spiffeId?: string;
  readonly known?: string[];
  readonly state?: string;
  readonly all?: true;
  readonly once?: true;
  readonly interval?: number;
}

const attempted = 'log watch';

/** `countersign log watch`: follows the log, and tells when somebody else was issued the name. */
export const logWatchVerb: Verb = {
  define(command, cli) {
    addAuthorityOptions(command)
      .option('--spiffe-id <id>', "the name to watch; the identity's unless given")
      .addOption(
        listOption('--known <hex>', 'a serial or the SHA-256 of a key that is yours as well'),
      )
      .option('--state <file>', 'where it has read up to is kept, to go on from there')
      .option('--all', 'tell of what was issued before it began to watch, too')
      .option('--once', 'read to the newest checkpoint, then exit: 1 where something was told')
      .addOption(durationOption('--interval <duration>', 'between two looks; 5s unless given'))
      .addHelpText('after', help)
      .action((options: LogWatchOptions) => watch(cli, options));
  },
};

const help = `
A line on standard output for each certificate under the name whose serial and key are neither those of the
identity, read again whenever it is renewed, nor --known. Nothing of the log is believed: an entry that was changed
or left out since, or another history, ends it with exit code 1. SIGTERM ends it: 0, or 1 where something was told.

Example:
  countersign log watch --identity payments --state payments.watch
  countersign log watch --ca https://127.0.0.1:8440 --fingerprint 3f… --spiffe-id spiffe://example.com/payments --once --all`;

async function watch(cli: Cli, options: LogWatchOptions): Promise<void> {
  const { clock } = cli;
  const { identity, state, interval = 5000 } = options;
  // 1. whose name, and what is known to be theirs
  const spiffeId = await nameOf(options);
  const words = (options.known ?? []).map((word) => plainHex(word));
  const graceMs = options.once === true ? 0 : 10_000;
  const known = new KnownKeys({ words, directory: identity, graceMs }, clock);
  await known.look();
  // 2. the log, from where the last watch stood
  const log = await openLog(cli, options, attempted);
  const { follower, isNew } = await followerOf(log.key, state);
  const from = isNew && options.all !== true ? (await headOf(log, attempted)).size : 0;
  cli.err(
    `follows "${log.key.name}" from entry ${Math.max(from, follower.size)} for ${spiffeId}\n`,
  );
  // 3. look, tell, keep; and again
  // By entry: one that was read again after a broken connection is told of once.
  const told = new Set<number>();
  const onAlert = async (alert: Alert) => {
    if (told.has(alert.index)) return;
    told.add(alert.index);
    await cli.out(lineOf(alert, options.output));
  };
  const behind = new BehindCheck(clock);
  await untilSignal(async (signal) => {
    while (!signal.aborted) {
      const answer = await watchOnce({
        ...{ source: log.source, follower, spiffeId, known, from, onAlert, signal },
      }).catch((thrown: unknown) => thrown);
      if (answer instanceof Error) tellFailure(cli, answer, options);
      else await keepState(follower, state);
      behind.check(follower);
      if (options.once === true) return;
      await known.look();
      await clock.sleep(interval, { signal }).catch(() => {});
    }
  });
  if (told.size > 0) throw new ExitWith(1);
}

/** An authority that cannot be reached is asked again; a log that contradicts itself is not. */
function tellFailure(cli: Cli, thrown: Error, { once }: LogWatchOptions): void {
  const isAway = thrown instanceof CountersignError && thrown.exit === 3;
  if (!isAway || once === true) throw thrown;
  cli.err(`${attempted}: ${thrown.message}\n`);
}

async function nameOf({ spiffeId, identity }: LogWatchOptions): Promise<string> {
  if (spiffeId !== undefined) return parseSpiffeId(spiffeId).toString();
  if (identity === undefined) throw usage(attempted, 'either --spiffe-id or --identity says what');
  return (await readIdentity(identity)).svid.spiffeId.toString();
}

function plainHex(word: string): string {
  const plain = word.trim().toLowerCase().replaceAll(':', '');
  if (!/^[0-9a-f]+$/.test(plain)) throw usage(attempted, `--known "${word}" is not hexadecimal`);
  return plain.length === 64 ? plain : plainSerial(plain);
}

function lineOf(alert: Alert, output: string): string {
  if (output === 'json') return `${JSON.stringify(alert)}\n`;
  const { code, spiffeId, serial, key, index, notAfter } = alert;
  return `${code} ${spiffeId}: serial ${serial}, key ${key}, until ${notAfter}, entry ${index}\n`;
}
