import { type Denial, errorOfDenial } from '@countersign/base';
import { authorityClient, readIdentity } from '@countersign/identity';
import { staticBundles, staticSvid } from '@countersign/spiffe';
import type { RevokeRequest, RevokeResponse } from '@countersign/wire';
import { revocationReasons } from '@countersign/x509';
import { type Command, Option } from 'commander';
import type { Cli } from '../cli.ts';
import { durationOption } from '../duration-option.ts';
import { outputOption } from '../output-option.ts';
import { type ByKeyOptions, revokeByKey } from '../revoke/revoke-by-key.ts';
import { revokeRequestOf, revokeUsage } from '../revoke/revoke-request.ts';
import { type RevokeAnswer, revokeText } from '../revoke/revoke-text.ts';
import { asOperator } from '../state/open-state.ts';
import { addSealOptions, type StateOptions } from '../state/state-options.ts';
import { ExitWith, type Verb } from '../verb.ts';

interface RevokeOptions extends Partial<StateOptions>, ByKeyOptions {
  readonly identity?: string;
  readonly output: string;
}

/** As long as the authority keeps an answer back. */
const longestWaitMs = 60_000;

const reasons = Object.keys(revocationReasons);

/** `countersign revoke`: one append to the ledger, then who closed what in how long. */
export const revokeVerb: Verb = {
  define(command, cli) {
    addSealOptions(
      command
        .option('--data <dir>', "the authority's data directory, for whoever holds it")
        .option('--config <file>', 'ca.yaml; without it, as init or the last `ca serve` read it')
        .option('--ca <url>', 'the authority, for whoever has an identity of it')
        .option('--identity <dir>', 'with --ca: the identity to show')
        .option('--cert <file>', 'with --ca and --key @FILE: by the signature of its own key')
        .option('--fingerprint <sha256>', 'with --cert: the root, unless bundle.pem is beside it'),
    )
      .option('--serial <hex>', 'this one certificate')
      .option('--spiffe-id <id>', 'every certificate of this SPIFFE ID up to now')
      .option('--spiffe-prefix <id>', 'every one below it, by whole segments: spiffe://…/ns/prod/')
      .option('--key <sha256>', 'every certificate of this key up to now: SHA-256 of its SPKI')
      .option('--issuer <name>', 'every one of this intermediate up to now: name or key identifier')
      .option('--provisioner <name>', 'every one that this provisioner vouched for up to now')
      .option('--token <id>', 'what this join token began, renewals too: its id, or @FILE')
      .option('--issued-after <time>', 'of those, or of all, what was ordered from then on')
      .option('--issued-before <time>', 'of those, or of all, what was ordered before then')
      .option('--whole-trust-domain', 'everybody is meant: where nothing but time limits it')
      .addOption(new Option('--reason <reason>', 'why (RFC 5280)').choices(reasons))
      .option('--release', 'take back what was revoked with certificateHold')
      .option('--block', 'forbid a new enrolment as well')
      .option('--dry-run', 'say what would be covered and cut, revoke nothing')
      .addOption(
        durationOption(
          '--wait <duration>',
          'for acknowledgements of gateways, at most 1m; 5s unless given',
          longestWaitMs,
        ),
      )
      .addOption(outputOption())
      .addHelpText('after', help)
      .action((options: RevokeOptions, self: Command) => revoke(cli, options, self));
  },
};

const help = `
Exits 0 when it is revoked and every gateway has acknowledged, 3 when it is revoked and some have not.

Example:
  countersign revoke --data state --spiffe-id spiffe://example.com/ns/prod/sa/payments --reason keyCompromise
  countersign revoke --data state --spiffe-prefix spiffe://example.com/ns/prod/ --issued-before 2026-01-01T00:00:00Z --dry-run
  countersign revoke --data state --serial 01a2… --reason certificateHold
  countersign revoke --data state --serial 01a2… --release
  countersign revoke --ca https://127.0.0.1:8440 --identity payments --serial 01a2… --dry-run
  countersign revoke --ca https://127.0.0.1:8440 --cert payments/cert.pem --key @payments/key.pem`;

async function revoke(cli: Cli, options: RevokeOptions, self: Command): Promise<void> {
  const answer = await send(cli, options, self);
  if (options.output === 'json') await cli.out(`${JSON.stringify(answer, null, 2)}\n`);
  else await cli.out(revokeText(cli, answer));
  if (!answer.dryRun && answer.acknowledgedBy < answer.gateways.length) throw new ExitWith(3);
}

async function send(cli: Cli, options: RevokeOptions, self: Command): Promise<RevokeAnswer> {
  const { data, ca, identity, cert, key, fingerprint } = options;
  const ofState = (['config', 'passphrase', 'keyFile'] as const).filter(
    (name) => self.getOptionValueSource(name) === 'cli',
  );
  if (cert !== undefined || key?.startsWith('@') === true || key === '-') {
    const others = namesBeside(options);
    if (others !== undefined) throw revokeUsage(`${others} does not go with --cert and its key`);
    return revokeByKey(cli, options);
  }
  if (fingerprint !== undefined) throw revokeUsage('--fingerprint goes with --cert alone');
  const request = await revokeRequestOf(cli, options);
  if (data !== undefined && ca === undefined && identity === undefined) {
    return byOperator(cli, { ...options, data }, request);
  }
  if (data !== undefined || identity === undefined || ofState.length > 0) {
    throw revokeUsage('either --data, or --ca with --identity or with --cert, says by whose right');
  }
  const own = await readIdentity(identity);
  const url = ca ?? own.ca;
  if (url === undefined) throw revokeUsage('--ca is missing, and identity.json names no authority');
  const client = authorityClient({
    url,
    svids: staticSvid(own.svid),
    bundles: staticBundles(own.bundle),
    trustDomain: own.bundle.trustDomain,
    clock: cli.clock,
  });
  return client.revoke(request);
}

/** What says whom or by whose right in another way. */
function namesBeside(options: RevokeOptions): string | undefined {
  const others = {
    '--data': options.data,
    '--identity': options.identity,
    '--serial': options.serial,
    '--spiffe-id': options.spiffeId,
    '--spiffe-prefix': options.spiffePrefix,
    '--issuer': options.issuer,
    '--provisioner': options.provisioner,
    '--token': options.token,
    '--issued-after': options.issuedAfter,
    '--issued-before': options.issuedBefore,
    '--whole-trust-domain': options.wholeTrustDomain,
  };
  return Object.entries(others).find(([, given]) => given !== undefined)?.[0];
}

function byOperator(
  cli: Cli,
  options: RevokeOptions & { readonly data: string },
  request: RevokeRequest,
): Promise<RevokeAnswer> {
  return asOperator(cli, options, {
    server: (client) => client.revoke(request),
    async state(authority) {
      // A ledger in a database may be served elsewhere; the gateways of one in a file hear of nothing now.
      const isAlone = authority.config.ledger.postgres === undefined;
      const order = { ...request, waitMs: isAlone ? 0 : (request.waitMs ?? 0) };
      const answer = revoked(await authority.revoke(order, operator));
      return isAlone ? { ...answer, serving: false } : answer;
    },
  });
}

const operator = { kind: 'operator' } as const;

function revoked(answer: ({ readonly ok: true } & RevokeResponse) | Denial): RevokeResponse {
  if (!answer.ok) throw errorOfDenial(answer, 'revoke');
  const { ok: _, ...response } = answer;
  return response;
}
