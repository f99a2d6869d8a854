import { spawn } from 'node:child_process';
import { CountersignError } from '@countersign/base';
import {
  formatScript,
  parseSidecarConfig,
  type RulesFormat,
  type RulesStep,
  redirectRulesOf,
  rulesScripts,
} from '@countersign/gateway';
import { Option } from 'commander';
import type { Cli } from '../cli.ts';
import { wholeNumber } from '../log/whole-number.ts';
import { readText } from '../serve/gateway-languages.ts';
import type { Verb } from '../verb.ts';

interface RulesOptions {
  readonly config: string;
  readonly format: RulesFormat;
  readonly uid: number;
  readonly apply?: boolean;
  readonly remove?: boolean;
}

/** `countersign sidecar rules`: what makes the kernel send an application's connections through its sidecar. */
export const sidecarRulesVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption('--config <file>', 'sidecar.yaml')
      .addOption(
        new Option('--format <name>', 'whose rules')
          .choices(['iptables', 'nftables'])
          .default('nftables'),
      )
      .requiredOption(
        '--uid <n>',
        'the user that the sidecar runs as, whose own connections are not caught',
        wholeNumber,
      )
      .addOption(
        new Option('--apply', 'puts them in force; applied twice they are there once').conflicts(
          'remove',
        ),
      )
      .option('--remove', 'takes them away')
      .addHelpText('after', help)
      .action((options: RulesOptions) => rules(cli, options));
  },
};

const help = `
Prints the commands unless told to apply or remove them, which takes CAP_NET_ADMIN. Rules are for the network namespace that
this runs in. A sidecar needs a user of its own: what the same user's programs connect to is not caught.

Example:
  countersign sidecar rules --config sidecar.yaml --uid 1337 --apply`;

async function rules(
  cli: Cli,
  { config, format, uid, apply, remove }: RulesOptions,
): Promise<void> {
  const { written } = parseSidecarConfig(await readText(cli, config), config);
  const asked = redirectRulesOf(written, uid);
  if (asked.outbound === undefined && asked.inbound.length === 0) {
    const message = `${config}: nothing to redirect: neither "outbound.redirect" nor an inbound "redirect: true"`;
    throw new CountersignError('ERR_USAGE', message);
  }
  const open = [asked.outbound?.port, ...asked.inbound.map(({ to }) => to)];
  if (open.includes(0)) {
    const message = `${config}: a port 0 cannot be redirected to, give the number`;
    throw new CountersignError('ERR_USAGE', message);
  }
  const script = rulesScripts[format](asked);
  if (remove === true) return run(script.remove);
  if (apply === true) return run(script.apply);
  await cli.out(formatScript(script.apply));
}

/** One after the other; the first that fails ends it. */
async function run(steps: readonly RulesStep[]): Promise<void> {
  for (const step of steps) await runStep(step);
}

async function runStep({ command, input }: RulesStep): Promise<void> {
  const [program, ...words] = command;
  // What a shell is printed between quotes.
  const args = words.map((word) => word.replace(/^'(.*)'$/s, '$1'));
  await new Promise<void>((done, failed) => {
    const fail = (reason: string) => {
      const message = `apply redirect rules by "${program}": ${reason}`;
      failed(new CountersignError('ERR_SIDECAR_RULES', message));
    };
    const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'pipe'] });
    let told = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      told = `${told}${chunk}`.slice(0, 2000);
    });
    child.on('error', (thrown) => fail(thrown.message));
    child.on('close', (code) => {
      if (code === 0) done();
      else fail(told.trim().replaceAll('\n', '; ') || `exit code ${code}`);
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}
