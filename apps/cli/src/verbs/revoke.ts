import { CountersignError, type Denial, errorOfDenial } from '@countersign/base';
import { authorityClient, readIdentity } from '@countersign/identity';
import { parseSpiffeId, staticBundles, staticSvid } from '@countersign/spiffe';
import type { AuthorityClient, RevokeResponse } from '@countersign/wire';
import { type RevocationReason, revocationReasons } from '@countersign/x509';
import { type Command, Option } from 'commander';
import type { Cli } from '../cli.ts';
import { durationOption } from '../duration-option.ts';
import { outputOption } from '../output-option.ts';
import { roughDuration } from '../relative-time.ts';
import { formatRfc3339 } from '../rfc3339.ts';
import { asOperator } from '../state/open-state.ts';
import { addSealOptions, type StateOptions } from '../state/state-options.ts';
import { ExitWith, type Verb } from '../verb.ts';

interface RevokeOptions extends Partial<StateOptions> {
  readonly ca?: string;
  readonly identity?: string;
  readonly serial?: string;
  readonly spiffeId?: string;
  readonly key?: string;
  readonly reason: RevocationReason;
  readonly block?: true;
  readonly dryRun?: true;
  readonly wait?: number;
  readonly output: string;
}

/** As long as the authority keeps an answer back. */
const longestWaitMs = 60_000;

/** A revocation here is for good: reasons that can be taken back are of no use. */
const reasons = Object.keys(revocationReasons).filter(
  (reason) => reason !== 'certificateHold' && reason !== 'removeFromCRL',
);

/** `countersign revoke`: one append to the ledger, then who closed what in how long. */
export const revokeVerb: Verb = {
  define(command, cli) {
    addSealOptions(
      command
        .option('--data <dir>', "the authority's data directory, for whoever holds it")
        .option('--config <file>', 'ca.yaml; without it, as init or the last `ca serve` read it')
        .option('--ca <url>', 'the authority, for whoever has an identity of it')
        .option('--identity <dir>', 'with --ca: the identity to show'),
    )
      .option('--serial <hex>', 'this one certificate')
      .option('--spiffe-id <id>', 'every certificate of this SPIFFE ID up to now')
      .option('--key <sha256>', 'every certificate of this key up to now: SHA-256 of its SPKI')
      .addOption(
        new Option('--reason <reason>', 'why (RFC 5280)').choices(reasons).default('unspecified'),
      )
      .option('--block', 'forbid a new enrolment as well')
      .option('--dry-run', 'say what would be covered, revoke nothing')
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
  countersign revoke --ca https://127.0.0.1:8440 --identity payments --serial 01a2… --dry-run`;

async function revoke(cli: Cli, options: RevokeOptions, self: Command): Promise<void> {
  const request = requestOf(options);
  const answer = await send(cli, options, request, self);
  if (options.output === 'json') await cli.out(`${JSON.stringify(answer, null, 2)}\n`);
  else await cli.out(textOf(cli, answer));
  if (!answer.dryRun && answer.acknowledgedBy < answer.gateways.length) throw new ExitWith(3);
}

type Request = Parameters<AuthorityClient['revoke']>[0];

/** `serving: false` where the ledger was written without a server that could tell anybody. */
type Answer = RevokeResponse & { readonly serving?: false };

/** Exactly one way to name what is revoked. */
function requestOf(options: RevokeOptions): Request {
  const { serial, spiffeId, key, reason, block, dryRun, wait } = options;
  const named = [
    ...(serial === undefined ? [] : [{ by: 'serial', value: hexOf('--serial', serial) } as const]),
    ...(spiffeId === undefined ? [] : [{ by: 'spiffe-id', value: spiffeIdIn(spiffeId) } as const]),
    ...(key === undefined ? [] : [{ by: 'key', value: hexOf('--key', key) } as const]),
  ];
  const [target, second] = named;
  if (target === undefined || second !== undefined) {
    throw usage(`exactly one of --serial, --spiffe-id, --key is needed, ${named.length} are given`);
  }
  return {
    ...target,
    reason,
    block: block === true,
    dryRun: dryRun === true,
    ...(wait !== undefined && { waitMs: wait }),
  };
}

async function send(
  cli: Cli,
  options: RevokeOptions,
  request: Request,
  self: Command,
): Promise<Answer> {
  const { data, ca, identity } = options;
  if (data !== undefined && ca === undefined && identity === undefined) {
    return asOperator(
      cli,
      { ...options, data },
      {
        server: (client) => client.revoke(request),
        async state(authority) {
          // A ledger in a database may be served elsewhere; the gateways of one in a file hear of nothing now.
          const isAlone = authority.config.ledger.postgres === undefined;
          const order = { ...request, waitMs: isAlone ? 0 : (request.waitMs ?? 0) };
          const answer = revoked(await authority.revoke(order, operator));
          return isAlone ? { ...answer, serving: false } : answer;
        },
      },
    );
  }
  const ofState = (['config', 'passphrase', 'keyFile'] as const).filter(
    (name) => self.getOptionValueSource(name) === 'cli',
  );
  if (data !== undefined || identity === undefined || ofState.length > 0) {
    throw usage('either --data, or --identity with --ca, says by whose right');
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
  return client.revoke(request);
}

const operator = { kind: 'operator' } as const;

function revoked(answer: ({ readonly ok: true } & RevokeResponse) | Denial): RevokeResponse {
  if (!answer.ok) throw errorOfDenial(answer, 'revoke');
  const { ok: _, ...response } = answer;
  return response;
}

function textOf(cli: Cli, answer: Answer): string {
  const { bold, yellow, green } = cli.outStyle;
  const { by, value, reason, matched, gateways, earlierAt } = answer;
  const covered = `${by} ${value} (${reason}): ${count(matched, 'unexpired certificate')}`;
  if (answer.dryRun) {
    const lines = [
      earlierAt === undefined
        ? `${bold('would revoke')} ${covered}; ${count(gateways.length, 'gateway')} would be told`
        : `already revoked at ${formatRfc3339(earlierAt)}, position ${answer.position}: nothing to do`,
      ...doubtOf(answer).map(yellow),
    ];
    return `${lines.join('\n')}\n`;
  }
  const silent = gateways.filter((gateway) => !gateway.acknowledged);
  const lines = [
    earlierAt === undefined
      ? `${green('revoked')} ${covered}, position ${answer.position}`
      : `${by} ${value}: already revoked at ${formatRfc3339(earlierAt)}, position ${answer.position}: nothing to do`,
    ...doubtOf(answer).map(yellow),
    closedBy(answer),
    ...silent.map(
      ({ id, spiffeId, lastSeenMsAgo, leaseEndsAt }) =>
        `${yellow('not acknowledged')} by ${spiffeId} (${id}), last seen ${roughDuration(lastSeenMsAgo)} ago` +
        (leaseEndsAt === undefined
          ? ''
          : `; unless it is heard again it fails closed by itself at ${formatRfc3339(leaseEndsAt)}`),
    ),
    ...(answer.serving === false
      ? [yellow('the authority is not serving: gateways learn of it when it does')]
      : []),
  ];
  return `${lines.join('\n')}\n`;
}

/** In the time to the last acknowledgement; how long was waited for others says nothing of what was closed. */
function closedBy({ gateways, closed, acknowledgedBy, elapsedMs }: Answer): string {
  const of = `acknowledged by ${acknowledgedBy} of ${gateways.length}`;
  const where = `closed ${count(closed, 'connection')} on ${count(acknowledgedBy, 'gateway')}`;
  if (acknowledgedBy === 0 && gateways.length > 0)
    return `${where}, ${of} within ${formatMs(elapsedMs)}`;
  const last = Math.max(
    0,
    ...gateways.flatMap(({ acknowledged, ms }) => (acknowledged ? [ms] : [])),
  );
  return `${where} in ${formatMs(last)}, ${of}`;
}

function doubtOf({ value, neverIssued, nearest }: Answer): string[] {
  if (neverIssued !== true) return [];
  const meant = nearest === undefined ? '' : `; did you mean ${nearest}?`;
  return [`warning: nothing was ever issued under ${value}${meant}`];
}

function count(n: number, word: string): string {
  return `${n} ${word}${n === 1 ? '' : 's'}`;
}

function formatMs(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

function spiffeIdIn(text: string): string {
  try {
    return parseSpiffeId(text).toString();
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    throw usage(`--spiffe-id: ${thrown.message}`);
  }
}

/** As the ledger writes it: lowercase, without colons and leading zeros of a serial. */
function hexOf(option: string, text: string): string {
  const plain = text.trim().toLowerCase().replaceAll(':', '');
  if (!/^[0-9a-f]+$/.test(plain)) throw usage(`${option} "${text}" is not hexadecimal`);
  return option === '--serial' ? plain.replace(/^0+(?=.)/, '') : plain;
}

function usage(reason: string): CountersignError {
  return new CountersignError('ERR_USAGE', `revoke: ${reason}`, {
    hint: 'run `countersign revoke --help`',
  });
}
