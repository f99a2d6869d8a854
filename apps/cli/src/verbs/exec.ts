import { resolve } from 'node:path';
import { CountersignError } from '@countersign/base';
import { Option } from 'commander';
import type { Cli } from '../cli.ts';
import { durationOption } from '../duration-option.ts';
import { parseHandover } from '../exec/handed-over.ts';
import { type OnRotation, runWithAgent, runWithIdentity } from '../exec/run-with-identity.ts';
import { openProofKey, proofKeyOption } from '../proof/proof-key-option.ts';
import { readSecret } from '../secret-argument.ts';
import { createLog, type LogLevel, logLevels } from '../serve/pino-log.ts';
import { ExitWith, type Verb } from '../verb.ts';

interface ExecWords {
  readonly identity?: string;
  readonly ca?: string;
  readonly token?: string;
  readonly proofKey?: string;
  readonly issuer?: string;
  readonly agentSocket?: string;
  readonly set?: readonly string[];
  readonly onRotation?: string;
  readonly stopTimeout: number;
  readonly directory?: string;
  readonly logLevel: LogLevel;
}

/** `countersign exec -- PROGRAM`: runs a program with a live identity. */
export const execVerb: Verb = {
  define(command, cli) {
    command
      .argument('<program...>', 'what to run, after --')
      .option('--identity <dir>', 'the identity, renewed there; else in memory alone')
      .option('--ca <url>', 'the authority; of identity.json unless given')
      .option('--token <secret>', 'enrols where there is no identity yet: a token, @FILE or -')
      .addOption(proofKeyOption())
      .option(
        '--issuer <file>',
        "an identity of somebody else's authority: a file with issuer:; kept in --identity where given",
      )
      .option(
        '--agent-socket <path>',
        'no files: the program asks this agent, by SPIFFE_ENDPOINT_SOCKET',
      )
      .option(
        '--set <name=what>',
        'another variable for a file: key, cert, chain, bundle, directory, spiffe-id; @key is its text',
        (text: string, before: readonly string[] = []) => [...before, text],
      )
      .option(
        '--on-rotation <what>',
        'nothing, restart, or a signal such as SIGHUP (default: nothing)',
      )
      .addOption(
        durationOption(
          '--stop-timeout <duration>',
          'of a restart, from SIGTERM to SIGKILL',
        ).default(10_000, '10s'),
      )
      .option('--directory <dir>', 'where the private directory is made')
      .addOption(
        new Option('--log-level <level>', 'least level that is logged on standard error')
          .choices(logLevels)
          .default('warn'),
      )
      .addHelpText('after', help)
      .action((words: readonly string[], options: ExecWords) => exec(cli, words, options));
  },
};

const help = `
The files are 0600 in a directory for this user alone, which goes away with the program; their paths are in
COUNTERSIGN_KEY, COUNTERSIGN_CERT, COUNTERSIGN_CHAIN, COUNTERSIGN_BUNDLE and COUNTERSIGN_DIRECTORY, the name in
COUNTERSIGN_SPIFFE_ID. Signals go to the program, and its exit code is that of this command (128 and the number where
a signal ended it). Text in variables does not change under a running program: it goes with --on-rotation restart.

Example:
  countersign exec --identity payments --on-rotation SIGHUP --set SSL_CERT_FILE=bundle -- nginx -g 'daemon off;'
  countersign exec --issuer vault.yaml --on-rotation restart -- my-service
  countersign exec --agent-socket /run/countersign/agent.sock -- my-service`;

const signals = ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGINT', 'SIGTERM', 'SIGWINCH'] as const;

async function exec(cli: Cli, words: readonly string[], options: ExecWords): Promise<void> {
  const { token, identity, ca, issuer, agentSocket, directory, stopTimeout: stopMs } = options;
  const handovers = (options.set ?? []).map(parseHandover);
  const [program = '', ...args] = words;
  const hasText = handovers.some(({ isContent, what }) => isContent && what !== 'spiffe-id');
  const onRotation = onRotationOf(options.onRotation, hasText);
  const run = { program, args, onRotation, stopMs };
  const log = createLog(cli, options.logLevel);
  if (agentSocket !== undefined) {
    const { onRotation, proofKey } = options;
    const kept = { identity, ca, token, issuer, directory };
    const others = { ...kept, 'proof-key': proofKey, 'on-rotation': onRotation };
    const other = Object.entries(others).find(([, value]) => value !== undefined)?.[0];
    if (other !== undefined || handovers.length > 0) {
      throw usage(`--${other ?? 'set'} does not go with --agent-socket: the program gets no files`);
    }
    const socket = resolve(agentSocket.replace(/^unix:(\/\/)?/, ''));
    throw new ExitWith(await runWithAgent(cli, log, { ...run, socket }));
  }
  const ofOurs = { ca, token, 'proof-key': options.proofKey };
  const stray = Object.entries(ofOurs).find(([, value]) => value !== undefined)?.[0];
  if (issuer !== undefined && stray !== undefined) {
    throw usage(`--${stray} does not go with --issuer`);
  }
  const secret = token === undefined ? undefined : await readSecret(cli, token, '--token');
  const { proofKey } = await openProofKey(cli, options.proofKey, log);
  const code = await runWithIdentity(cli, log, {
    ...{ ...run, handovers },
    ...proofKey,
    ...(identity !== undefined && { identity }),
    ...(ca !== undefined && { ca }),
    ...(issuer !== undefined && { issuer }),
    ...(secret !== undefined && { token: secret }),
    ...(directory !== undefined && { directory }),
  });
  throw new ExitWith(code);
}

function onRotationOf(word: string | undefined, hasText: boolean): OnRotation {
  if (word === undefined) return hasText ? 'restart' : 'nothing';
  if (word === 'restart') return word;
  const signal = signals.find((each) => each === word || each === `SIG${word}`);
  if (word !== 'nothing' && signal === undefined) {
    throw usage(`--on-rotation is "${word}", expected nothing, restart, ${signals.join(', ')}`);
  }
  if (!hasText) return signal ?? 'nothing';
  throw usage(`--on-rotation ${word} with text in a variable, which only a restart changes`);
}

function usage(reason: string): CountersignError {
  return new CountersignError('ERR_USAGE', `exec: ${reason}`, {
    hint: 'run `countersign exec --help`',
  });
}
