import {
  CountersignError,
  proveReplaceable,
  type Secret,
  writeFileDurably,
} from '@countersign/base';
import {
  completeInit,
  formatCeremony,
  type Initialised,
  initAuthority,
  initOffline,
  makeRootKey,
} from '@countersign/ca';
import type { Cli } from '../cli.ts';
import { listOption } from '../list-option.ts';
import { outputOption } from '../output-option.ts';
import { readInput } from '../read-input.ts';
import { readLastingSecret } from '../secret-argument.ts';
import { createLog } from '../serve/pino-log.ts';
import { readCaConfig } from '../state/open-state.ts';
import { secretPlaces } from '../state/secret-places.ts';
import { takingPart, whoOption } from '../state/who-option.ts';
import type { Verb } from '../verb.ts';

interface InitVerbOptions {
  readonly config?: string;
  readonly data?: string;
  readonly request?: string;
  readonly passphrase?: string;
  readonly keyFile?: string;
  readonly offlineRoot?: boolean;
  readonly rootOut?: string;
  readonly rootPassphrase?: string;
  readonly by?: string[];
  readonly signed?: string[];
  readonly output: string;
}

/** `countersign init`: a new authority in an empty directory; its root's SHA-256 is the one line of the answer. */
export const initVerb: Verb = {
  define(command, cli) {
    command
      .option('--config <file>', 'ca.yaml; needed but with --signed')
      .option('--data <dir>', 'where the authority keeps its state: missing or empty')
      .option('--passphrase <secret>', 'seals the keys: @FILE or - for standard input')
      .option(
        '--key-file <file>',
        'where to make the key file that seals them; in the data directory unless given',
      )
      .option('--offline-root', 'make the root apart, with requests that it is to sign')
      .option('--root-out <dir>', 'where the offline root goes: missing or empty')
      .option('--request <file>', 'instead of --data: the key of a next root, and a request by it')
      .option('--root-passphrase <secret>', "seals the offline root's key: @FILE or -")
      .addOption(whoOption())
      .addOption(
        listOption('--signed <file>', 'a certificate of the offline root: completes its init'),
      )
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: InitVerbOptions) => init(cli, options));
  },
};

const help = `
Prints the SHA-256 of the root's DER, which callers pin. Without a passphrase the keys are sealed with a
key file that is made for it.

With --offline-root the root and its key are made in --root-out, to be carried to where no network is, and state/requests
holds what it is to sign (countersign sign). The certificates carried back complete the init.

With --request instead of --data no authority is made: the key of a root that is to follow the offline root of an authority
that there is (countersign root prepare --import).

Example:
  countersign init --config ca.yaml --data state
  countersign init --config ca.yaml --data state --offline-root --root-out /media/vault/root
  countersign init --data state --signed production.pem`;

function init(cli: Cli, given: InitVerbOptions): Promise<void> {
  const { data, request } = given;
  if (request !== undefined) return makeNext(cli, { ...given, request });
  if (data === undefined) throw usage('--data is missing');
  const options = { ...given, data };
  const { config, offlineRoot, rootOut, rootPassphrase, by, signed } = options;
  if (signed !== undefined) {
    refuse('--signed', { config, offlineRoot, rootOut, rootPassphrase, by });
    return complete(cli, { ...options, signed });
  }
  if (config === undefined) throw usage('--config is missing');
  if (offlineRoot === true) {
    if (rootOut === undefined) throw usage('--root-out is missing, where the offline root goes');
    return initApart(cli, { ...options, config, rootOut });
  }
  refuse('a root in the data directory', { rootOut, rootPassphrase, by });
  return initWhole(cli, { ...options, config });
}

/** Where the offline root is kept: the next one, whose key no authority ever sees. */
async function makeNext(
  cli: Cli,
  options: InitVerbOptions & { readonly request: string },
): Promise<void> {
  const { config, data, offlineRoot, rootOut, request, rootPassphrase } = options;
  const { passphrase, keyFile, signed } = options;
  refuse('--request', { data, passphrase, keyFile, signed });
  if (offlineRoot !== true || rootOut === undefined || config === undefined) {
    throw usage('--request goes with --offline-root, --root-out and --config');
  }
  await proveReplaceable(request, `write the request to "${request}"`);
  const { text, config: parsed } = await readCaConfig(cli, config);
  const secret = await readSeal(cli, rootPassphrase, '--root-passphrase');
  const made = await makeRootKey({
    config: parsed,
    configText: text,
    rootOut,
    by: takingPart(options.by),
    clock: cli.clock,
    secrets: secretPlaces(cli),
    log: createLog(cli, 'warn'),
    ...(secret !== undefined && { rootPassphrase: secret }),
  });
  await writeFileDurably(request, made.request);
  if (made.keyFile !== undefined) {
    cli.err(`its key is sealed with the key file "${made.keyFile}"\n`);
  }
  cli.err(`carry "${request}" to the authority: countersign root prepare --import ${request}\n`);
  const { record, keyFile: sealedWith } = made;
  await cli.out(
    options.output === 'json'
      ? json({ request, keyFile: sealedWith, record })
      : formatCeremony(record),
  );
}

type WithData = InitVerbOptions & { readonly data: string };

async function initWhole(cli: Cli, options: WithData & { readonly config: string }): Promise<void> {
  const { text, config } = await readCaConfig(cli, options.config);
  const made = await initAuthority({
    config,
    configText: text,
    ...(await sharedOptions(cli, options)),
  });
  for (const notice of config.notices) cli.err(`note: ${notice}\n`);
  await tellMade(cli, made, options);
}

async function initApart(
  cli: Cli,
  options: WithData & { readonly config: string; readonly rootOut: string },
): Promise<void> {
  const { rootOut, rootPassphrase, data } = options;
  const { text, config } = await readCaConfig(cli, options.config);
  const secret = await readSeal(cli, rootPassphrase, '--root-passphrase');
  const made = await initOffline({
    config,
    configText: text,
    rootOut,
    by: takingPart(options.by),
    ...(await sharedOptions(cli, options)),
    ...(secret !== undefined && { rootPassphrase: secret }),
  });
  for (const notice of config.notices) cli.err(`note: ${notice}\n`);
  for (const file of made.keyFiles) cli.err(`keys are sealed with the key file "${file}"\n`);
  cli.err(`\n${formatCeremony(made.record)}\n`);
  const requests = made.requests.map((file) => `  ${file}\n`).join('');
  cli.err(`carry "${rootOut}" away, and to it these requests:\n${requests}`);
  cli.err(`there: countersign sign --root DIR --csr FILE --out CERT.pem --by NAME\n`);
  cli.err(`then here: countersign init --data ${data} --signed CERT.pem\n`);
  const { rootFingerprint, keyFiles, requests: files, record } = made;
  const facts = { data, rootOut, rootFingerprint, keyFiles, requests: files, record };
  await cli.out(options.output === 'json' ? json(facts) : `${rootFingerprint}\n`);
}

async function complete(
  cli: Cli,
  options: WithData & { readonly signed: readonly string[] },
): Promise<void> {
  const signed: { file: string; pem: string }[] = [];
  for (const file of options.signed) {
    const bytes = await readInput(cli, file, 'read certificate');
    signed.push({ file, pem: Buffer.from(bytes).toString('utf8') });
  }
  const made = await completeInit({ signed, ...(await sharedOptions(cli, options)) });
  await tellMade(cli, made, options);
}

async function sharedOptions(cli: Cli, { data, passphrase, keyFile }: WithData) {
  const secret = await readSeal(cli, passphrase, '--passphrase');
  return {
    data,
    clock: cli.clock,
    secrets: secretPlaces(cli),
    log: createLog(cli, 'warn'),
    ...(keyFile !== undefined && { keyFile }),
    ...(secret !== undefined && { passphrase: secret }),
  };
}

async function readSeal(
  cli: Cli,
  given: string | undefined,
  option: string,
): Promise<Secret<string> | undefined> {
  if (given === undefined) return undefined;
  return readLastingSecret(cli, given, option, (text) => cli.err(`note: ${text}\n`));
}

async function tellMade(cli: Cli, made: Initialised, { data, output }: WithData): Promise<void> {
  if (made.keyFile !== undefined) {
    cli.err(`keys are sealed with the key file "${made.keyFile}": keep a copy of it elsewhere\n`);
  }
  const { rootFingerprint, keyFile } = made;
  const facts = { data, rootFingerprint, keyFile };
  await cli.out(output === 'json' ? json(facts) : `${rootFingerprint}\n`);
}

function json(facts: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify(facts, null, 2)}\n`;
}

/** A given option that would do nothing is a mistake. */
function refuse(beside: string, given: Readonly<Record<string, unknown>>): void {
  const [first] = Object.entries(given).find(([, value]) => value !== undefined) ?? [];
  if (first === undefined) return;
  const flag = first.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw usage(`--${flag} does nothing beside ${beside}`);
}

function usage(reason: string): CountersignError {
  return new CountersignError('ERR_USAGE', `init: ${reason}`);
}
