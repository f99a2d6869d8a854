import { errorOfDenial } from '@countersign/base';
import { adminClient, openStateLedger, orderVaultToken } from '@countersign/ca';
import {
  longestVaultTokenMs,
  type VaultTokenRequest,
  type VaultTokenResponse,
} from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { durationOption } from '../duration-option.ts';
import { listOption } from '../list-option.ts';
import { outputOption } from '../output-option.ts';
import { createLog } from '../serve/pino-log.ts';
import { readStateConfig } from '../state/open-state.ts';
import { secretPlaces } from '../state/secret-places.ts';
import type { StateOptions } from '../state/state-options.ts';
import type { Verb } from '../verb.ts';

interface VaultTokenOptions extends Pick<StateOptions, 'data' | 'config'> {
  readonly policy?: string[];
  readonly ttl?: number;
  readonly output: string;
}

/** `countersign vault token`: the first token of Vault's API, alone on standard output. */
export const vaultTokenVerb: Verb = {
  define(command, cli) {
    command
      .requiredOption('--data <dir>', 'the state of the authority')
      .option(
        '--config <file>',
        'ca.yaml where no server runs; the one that was last in force unless given',
      )
      .addOption(
        listOption('--policy <name>', 'what it may do; root unless given; may be repeated'),
      )
      .addOption(
        durationOption(
          '--ttl <duration>',
          'how long it is good; a root token for ever unless given',
          longestVaultTokenMs,
          1000,
        ),
      )
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: VaultTokenOptions) => create(cli, options));
  },
};

const help = `
Whether or not a server runs. It is in the ledger as a hash, and seen this once; \`vault token revoke -self\` ends it.

Example:
  export VAULT_TOKEN=$(countersign vault token --data state)`;

async function create(cli: Cli, options: VaultTokenOptions): Promise<void> {
  const { policy = ['root'], ttl } = options;
  const request = { policies: policy, ...(ttl !== undefined && { ttlMs: ttl }) };
  const { token, accessor, expiresAt, warnings = [] } = await made(cli, options, request);
  const until = expiresAt === undefined ? undefined : new Date(expiresAt).toISOString();
  const secret = token.reveal();
  for (const warning of warnings) cli.err(`warning: ${warning}\n`);
  const isJson = options.output === 'json';
  if (!isJson) cli.err(`good ${until === undefined ? 'until it is revoked' : `until ${until}`}\n`);
  const facts = { token: secret, accessor, policies: policy, expiresAt: until, warnings };
  await cli.out(`${isJson ? JSON.stringify(facts, null, 2) : secret}\n`);
}

/** Of the server that runs, or else written here under the ledger's lock. No key is opened. */
async function made(
  cli: Cli,
  options: VaultTokenOptions,
  request: VaultTokenRequest,
): Promise<VaultTokenResponse> {
  const client = await adminClient(options.data);
  if (client !== undefined) {
    const { config: file } = options;
    if (file !== undefined) {
      cli.err(`warning: --config "${file}" is not read: a server runs, its own is in force\n`);
    }
    return await client.createVaultToken(request);
  }
  const config = await readStateConfig(cli, options);
  const parts = { config, clock: cli.clock, log: createLog(cli, 'warn') };
  const secrets = secretPlaces(cli);
  const ledger = await openStateLedger({ ...parts, data: options.data, secrets });
  try {
    const answer = await orderVaultToken(request, { ...parts, ledger });
    if (answer.ok) return answer;
    throw errorOfDenial(answer, 'create a vault token');
  } finally {
    await ledger.close();
  }
}
