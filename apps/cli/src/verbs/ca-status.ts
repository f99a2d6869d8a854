import { CountersignError } from '@countersign/base';
import { adminClient, stateStatus } from '@countersign/ca';
import { authorityClient, readIdentity } from '@countersign/identity';
import { staticBundles, staticSvid } from '@countersign/spiffe';
import type { StatusResponse } from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { outputOption } from '../output-option.ts';
import { createLog } from '../serve/pino-log.ts';
import { readStateConfig } from '../state/open-state.ts';
import { secretPlaces } from '../state/secret-places.ts';
import { statusText } from '../state/status-text.ts';
import { ExitWith, type Verb } from '../verb.ts';
import { versionNumber } from '../version.ts';

interface StatusOptions {
  readonly data?: string;
  readonly config?: string;
  readonly ca?: string;
  readonly identity?: string;
  readonly output: string;
}

/** `countersign ca status`: what an authority holds, who follows it, and what wants a look. */
export const caStatusVerb: Verb = {
  define(command, cli) {
    command
      .option('--data <dir>', "the authority's data directory, for whoever holds it")
      .option('--config <file>', 'ca.yaml; without it, as init or the last `ca serve` read it')
      .option('--ca <url>', 'the authority, for whoever has an identity of it')
      .option('--identity <dir>', 'with --ca: the identity to show')
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: StatusOptions) => status(cli, options));
  },
};

const help = `
Exits with 1 where there are findings. With --data and no server, the ledger is opened: lists and stores of keys are
known to who serves alone. Over --ca, identities of api.admins are told everything; others how the authority is, and
how their own certificate is.

Example:
  countersign ca status --data state
  countersign ca status --ca https://127.0.0.1:8440 --identity payments -o json`;

async function status(cli: Cli, options: StatusOptions): Promise<void> {
  const found = await statusOf(cli, options);
  const text =
    options.output === 'json'
      ? `${JSON.stringify(found, null, 2)}\n`
      : statusText(found, cli.clock.now(), cli.outStyle);
  await cli.out(text);
  if ((found.findings ?? []).length > 0 || found.own?.isWell === false) throw new ExitWith(1);
}

async function statusOf(cli: Cli, options: StatusOptions): Promise<StatusResponse> {
  const { data, config, ca, identity } = options;
  if (data !== undefined) {
    if (ca !== undefined || identity !== undefined) throw usage('either --data, or --identity');
    const client = await adminClient(data);
    if (client !== undefined) return client.status();
    const state = { data, ...(config !== undefined && { config }) };
    return stateStatus({
      config: await readStateConfig(cli, state),
      data,
      secrets: secretPlaces(cli),
      version: versionNumber(),
      clock: cli.clock,
      log: createLog(cli, 'warn'),
    });
  }
  if (identity === undefined || config !== undefined) {
    throw usage('either --data, or --identity with --ca, says of which authority');
  }
  const own = await readIdentity(identity);
  const url = ca ?? own.ca;
  if (url === undefined) throw usage('--ca is missing, and identity.json names no authority');
  const client = authorityClient({
    url,
    svids: staticSvid(own.svid),
    bundles: staticBundles(own.bundle),
    trustDomain: own.bundle.trustDomain,
    clock: cli.clock,
  });
  return client.status();
}

function usage(reason: string): CountersignError {
  return new CountersignError('ERR_USAGE', `ca status: ${reason}`, {
    hint: 'run `countersign ca status --help`',
  });
}
