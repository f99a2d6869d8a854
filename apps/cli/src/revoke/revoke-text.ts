import { counted } from '@countersign/base';
import {
  type GatewayAcknowledgement,
  parseIssuerValue,
  type RevokeResponse,
} from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { roughDuration } from '../relative-time.ts';
import { formatRfc3339 } from '../rfc3339.ts';

/** `serving: false` where the ledger was written without a server that could tell anybody. */
export type RevokeAnswer = RevokeResponse & { readonly serving?: false };

export function revokeText(cli: Cli, answer: RevokeAnswer): string {
  const lines = answer.dryRun ? previewLines(cli, answer) : doneLines(cli, answer);
  return `${lines.join('\n')}\n`;
}

function previewLines(cli: Cli, answer: RevokeAnswer): string[] {
  const { bold, yellow } = cli.outStyle;
  const { reason, gateways, earlierAt, position, wouldClose } = answer;
  const would = reason === 'removeFromCRL' ? 'would release' : 'would revoke';
  if (earlierAt !== undefined) {
    return [
      `already revoked at ${formatRfc3339(earlierAt)}, position ${position}: nothing to do`,
      ...doubtOf(answer).map(yellow),
    ];
  }
  const told = `${counted(gateways.length, 'gateway')} would be told`;
  const said = gateways.filter(({ wouldClose }) => wouldClose !== undefined);
  const closing =
    wouldClose === undefined
      ? []
      : [`would close ${counted(wouldClose, 'connection')} on ${counted(said.length, 'gateway')}`];
  return [
    `${bold(would)} ${coveredBy(answer)}; ${told}`,
    ...doubtOf(answer).map(yellow),
    ...closing,
    ...gateways.flatMap((gateway) =>
      gateway.unsaid === undefined
        ? []
        : [`${yellow('not known')} of ${nameOf(gateway)}: ${gateway.unsaid}`],
    ),
  ];
}

function doneLines(cli: Cli, answer: RevokeAnswer): string[] {
  const { yellow, green } = cli.outStyle;
  const { by, value, reason, gateways, earlierAt, position } = answer;
  const done = reason === 'removeFromCRL' ? 'released' : 'revoked';
  return [
    earlierAt === undefined
      ? `${green(done)} ${coveredBy(answer)}, position ${position}`
      : `${by} ${value}: already revoked at ${formatRfc3339(earlierAt)}, position ${position}: nothing to do`,
    ...doubtOf(answer).map(yellow),
    closedBy(answer),
    ...gateways
      .filter((gateway) => !gateway.acknowledged)
      .map(
        (gateway) =>
          `${yellow('not acknowledged')} by ${nameOf(gateway)}, last seen ${roughDuration(gateway.lastSeenMsAgo)} ago` +
          (gateway.leaseEndsAt === undefined
            ? ''
            : `; unless it is heard again it fails closed by itself at ${formatRfc3339(gateway.leaseEndsAt)}`),
      ),
    ...(answer.serving === false
      ? [yellow('the authority is not serving: gateways learn of it when it does')]
      : []),
  ];
}

function coveredBy({ by, value, reason, matched }: RevokeAnswer): string {
  return `${by} ${value} (${reason}): ${counted(matched, 'unexpired certificate')}`;
}

/** In the time to the last acknowledgement; how long was waited for others says nothing of what was closed. */
function closedBy({ gateways, closed, acknowledgedBy, elapsedMs }: RevokeAnswer): string {
  const of = `acknowledged by ${acknowledgedBy} of ${gateways.length}`;
  const where = `closed ${counted(closed, 'connection')} on ${counted(acknowledgedBy, 'gateway')}`;
  if (acknowledgedBy === 0 && gateways.length > 0)
    return `${where}, ${of} within ${formatMs(elapsedMs)}`;
  const last = Math.max(
    0,
    ...gateways.flatMap(({ acknowledged, ms }) => (acknowledged ? [ms] : [])),
  );
  return `${where} in ${formatMs(last)}, ${of}`;
}

function doubtOf(answer: RevokeAnswer): string[] {
  const { value, neverIssued, nearest, own, inForce, dryRun } = answer;
  if (inForce !== undefined) return [inForceText(answer, inForce)];
  if (own !== undefined) return [ownText(own, dryRun)];
  if (neverIssued !== true) return [];
  const meant = nearest === undefined ? '' : `; did you mean ${nearest}?`;
  return [`warning: nothing was ever issued under ${value}${meant}`];
}

function inForceText({ value }: RevokeAnswer, inForce: string): string {
  const { name } = parseIssuerValue(value);
  const way = `countersign revoke --issuer ${inForce} revokes what that signed`;
  return `warning: "${name}" does not sign now, "${inForce}" does, which goes on: ${way}`;
}

function ownText({ issuer, next }: NonNullable<RevokeAnswer['own']>, dryRun: boolean): string {
  const hangs = `warning: the authority's own TLS certificate hangs on "${issuer}"`;
  if (next !== undefined) return `${hangs}: it is renewed under "${next}"`;
  const [is, start] = dryRun ? ['would be', 'could not start again'] : ['is', 'cannot start again'];
  const way = `countersign root prepare --intermediate ${issuer}, then root activate --intermediate ${issuer}`;
  return `${hangs}, and no other intermediate ${is} left: it ${start} before ${way}`;
}

function nameOf({ id, spiffeId }: GatewayAcknowledgement): string {
  return spiffeId === '' ? id : `${spiffeId} (${id})`;
}

function formatMs(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
