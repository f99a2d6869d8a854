import { CountersignError, type Denial, errorOfDenial, messageOf } from '@countersign/base';
import { revealJoinToken } from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { durationOption } from '../duration-option.ts';
import { listOption } from '../list-option.ts';
import { outputOption } from '../output-option.ts';
import { asOperator } from '../state/open-state.ts';
import { addStateOptions, type StateOptions } from '../state/state-options.ts';
import type { Verb } from '../verb.ts';

interface TokenCreateOptions extends StateOptions {
  readonly spiffeId?: string;
  readonly dns?: string[];
  readonly ip?: string[];
  readonly ttl?: number;
  readonly output: string;
}

/** `countersign token create`: the token alone on standard output, for one enrolment under these names. */
export const tokenCreateVerb: Verb = {
  define(command, cli) {
    addStateOptions(command)
      .option('--spiffe-id <id>', 'the SPIFFE ID that its bearer will get')
      .addOption(listOption('--dns <name>', 'a DNS name as well; may be repeated'))
      .addOption(listOption('--ip <address>', 'an IP address as well; may be repeated'))
      .addOption(
        durationOption(
          '--ttl <duration>',
          'how long it can be redeemed; 1h unless given',
          undefined,
          1000,
        ),
      )
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: TokenCreateOptions) => create(cli, options));
  },
};

const help = `
Example:
  countersign token create --data state --spiffe-id spiffe://example.com/ns/prod/sa/payments > token.txt`;

async function create(cli: Cli, options: TokenCreateOptions): Promise<void> {
  const { spiffeId, dns = [], ip = [], ttl } = options;
  if (spiffeId === undefined && dns.length + ip.length > 0) throw withoutSpiffeId();
  const order = {
    dns,
    ip,
    ...(spiffeId !== undefined && { spiffeId }),
    ...(ttl !== undefined && { ttlMs: ttl }),
  };
  const { token, expiresAt } = await asOperator(cli, options, {
    server: (client) => client.createToken(order),
    state: async (authority) => granted(await authority.createToken(order)),
  });
  const until = new Date(expiresAt).toISOString();
  const secret = revealJoinToken(token);
  const facts = { token: secret, id: token.id, expiresAt: until };
  const isJson = options.output === 'json';
  if (!isJson) cli.err(`good for one enrolment until ${until}\n`);
  const text = isJson ? JSON.stringify(facts, null, 2) : secret;
  await cli.out(`${text}\n`).catch((thrown: unknown) => {
    throw untold(token.id, thrown);
  });
}

/** Nobody has it: it can only be left to expire, or be taken back. */
function untold(id: string, thrown: unknown): CountersignError {
  const message = `token ${id} was made and nobody was told it: ${messageOf(thrown)}`;
  return new CountersignError('ERR_CLI_OUTPUT', message, {
    hint: `\`countersign revoke --token ${id}\` takes it back; then make another`,
    cause: thrown,
  });
}

/** Before the token is spent: `enrol` takes what it is given for an identity, and renews it by its SPIFFE ID. */
function withoutSpiffeId(): CountersignError {
  const reason = 'token create: --spiffe-id is missing, enrolment is for identities with one';
  return new CountersignError('ERR_POLICY_SPIFFE_REQUIRED', reason, {
    hint: 'give --spiffe-id, or `countersign issue --data DIR --dns NAME --out DIR` where require_spiffe is false',
  });
}

function granted<T extends { readonly ok: true }>(answer: T | Denial): T {
  if (answer.ok) return answer;
  throw errorOfDenial(answer, 'create token');
}
