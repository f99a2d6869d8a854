import { CountersignError } from '@countersign/base';
import type { RevokeResponse } from '@countersign/wire';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { outputOption } from '../output-option.ts';
import { matchCertificates } from '../scan/match-certificates.ts';
import { checkCanConfirm, confirmed, revokeKeys } from '../scan/revoke-found.ts';
import { scanPaths } from '../scan/scan-paths.ts';
import {
  isFinding,
  jsonOf,
  keysToRevoke,
  type Report,
  revocationsText,
  textOf,
} from '../scan/scan-report.ts';
import { showProgress } from '../scan/show-progress.ts';
import { addSealOptions, type StateOptions } from '../state/state-options.ts';
import { ExitWith, type Verb } from '../verb.ts';

interface ScanOptions extends Partial<StateOptions> {
  readonly all?: true;
  readonly revoke?: true;
  readonly yes?: true;
  readonly dryRun?: true;
  readonly output: string;
}

/** `countersign scan`: private keys where they should not be, and the revocation of what was issued for them. */
export const scanVerb: Verb = {
  define(command, cli) {
    addSealOptions(
      command
        .argument('<path...>', 'directories and files; archives and images are looked into')
        .option('--data <dir>', "the authority's data directory: name the certificates of the keys")
        .option('--config <file>', 'ca.yaml; without it, as init or the last `ca serve` read it'),
    )
      .option('--all', 'list keys that are where they may be as well')
      .option('--revoke', 'revoke the certificates of what was found, after showing a dry run')
      .option('--dry-run', 'with --revoke: show what it would revoke, and revoke nothing')
      .option('--yes', 'with --revoke: do not ask')
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((paths: string[], options: ScanOptions, self: Command) =>
        scan(cli, paths, options, self),
      );
  },
};

const help = `
A private key is a finding where others or its group may read the file, where git tracks the file, and in
tar archives and container images (\`docker save\` or OCI layout, as a file or a directory; gzip and zstd).
Read are PEM of every label (also in base64), DER, JWK and OpenSSH. Out of scope: what git remembers and the working
tree has no more, PKCS #12 and Java key stores, zip archives. Symbolic links are not followed; nothing is started.

Exits 0 when there is no finding, 1 with findings, 3 when there is none but something could not be read.

Example:
  countersign scan .
  docker save registry.example/payments:1.4 --output image.tar && countersign scan image.tar --data state
  countersign scan /srv --data state --revoke --dry-run`;

async function scan(
  cli: Cli,
  paths: readonly string[],
  options: ScanOptions,
  self: Command,
): Promise<void> {
  // 1. what cannot be done later is refused before anything is read
  const state = stateOf(cli, options, self);
  // 2. look
  const progress = showProgress(cli);
  const result = await scanPaths(paths, progress.watch).finally(progress.end);
  // 3. whose keys they are: findings alone, unless all are listed
  const all = options.all === true;
  const asked = result.keys.filter((key) => all || isFinding(key));
  const hashes = [...new Set(asked.flatMap(({ spkiHash }) => spkiHash ?? []))];
  const matches = state && (await matchCertificates(cli, state, hashes));
  const report: Report = {
    ...{ result, matches, all },
    now: cli.clock.now(),
    revocationOf: (spkiHash) => commandFor(options, spkiHash),
  };
  const isJson = options.output === 'json';
  if (!isJson) await cli.out(textOf(cli, report));
  // 4. the revocation, where it was ordered
  const revocations =
    state === undefined || options.revoke === undefined
      ? []
      : await revoke(cli, { options, state }, keysToRevoke(report));
  if (isJson) await cli.out(`${jsonOf(report, revocations)}\n`);
  if (result.keys.some(isFinding)) throw new ExitWith(1);
  if (result.unread.length > 0) throw new ExitWith(3);
}

/** The authority to ask, where one is given. @throws CountersignError ERR_USAGE for options that would do nothing */
function stateOf(cli: Cli, options: ScanOptions, self: Command): StateOptions | undefined {
  const { data, revoke, yes, dryRun } = options;
  if (revoke === undefined && (yes === true || dryRun === true)) {
    throw usage(`${yes === true ? '--yes' : '--dry-run'} is of use with --revoke alone`);
  }
  if (data !== undefined) {
    if (revoke === true && dryRun === undefined) checkCanConfirm(cli, yes === true);
    return { ...options, data };
  }
  if (revoke === true) throw usage('--revoke needs --data, the authority that revokes');
  const alone = (['config', 'passphrase', 'keyFile'] as const).filter(
    (name) => self.getOptionValueSource(name) === 'cli',
  );
  if (alone.length > 0) throw usage('--config, --passphrase and --key-file are of use with --data');
  return undefined;
}

async function revoke(
  cli: Cli,
  { options, state }: { readonly options: ScanOptions; readonly state: StateOptions },
  keys: readonly string[],
): Promise<RevokeResponse[]> {
  const say = async (text: string) => (options.output === 'json' ? cli.err(text) : cli.out(text));
  if (keys.length === 0) {
    await say('nothing to revoke: no live certificate is for these keys\n');
    return [];
  }
  const preview = await revokeKeys(cli, state, keys, true);
  await say(revocationsText(cli, preview));
  if (options.dryRun === true) return preview;
  if (options.yes !== true && !(await confirmed(cli, 'revoke?'))) {
    await say('nothing was revoked\n');
    return [];
  }
  const done = await revokeKeys(cli, state, keys, false);
  await say(revocationsText(cli, done));
  return done;
}

/** As a shell reads it; a passphrase file goes with it, a literal secret does not. */
function commandFor({ data, config, keyFile, passphrase }: ScanOptions, spkiHash: string): string {
  const given = [
    ['--data', data],
    ['--config', config],
    ['--key-file', keyFile],
    ['--passphrase', passphrase?.startsWith('@') === true ? passphrase : undefined],
  ] as const;
  const words = given.flatMap(([name, value]) =>
    value === undefined ? [] : [name, quoted(value)],
  );
  return `countersign revoke ${words.join(' ')} --key ${spkiHash} --reason keyCompromise`;
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

function usage(reason: string): CountersignError {
  return new CountersignError('ERR_USAGE', `scan: ${reason}`, {
    hint: 'run `countersign scan --help`',
  });
}
