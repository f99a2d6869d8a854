import { randomBytes } from 'node:crypto';
import { type Denial, denial, formatDuration } from '@countersign/base';
import { createJoinToken, type JoinToken, secretHashOf } from '@countersign/wire';
import { formatNames, parseNames, type WrittenNames } from './certificate-names.ts';
import type { IssueContext } from './issue.ts';
import { blockOf } from './ledger-block.ts';
import { judgeNames } from './name-policy.ts';
import type { LifetimeProfile } from './profile/certificate-profile.ts';
import { chooseProfile } from './profile/choose-profile.ts';

export interface TokenOrder extends WrittenNames {
  /** How long it can be redeemed. Default 1 h, at most 30 days. */
  readonly ttlMs?: number | undefined;
  /** The longest lifetime of the certificate that it gives. Default: the policy's. */
  readonly certificateTtlMs?: number | undefined;
}

export interface CreatedToken {
  readonly ok: true;
  readonly token: JoinToken;
  readonly expiresAt: number;
}

const defaultTtlMs = 3_600_000;
const longestTtlMs = 30 * 24 * 3_600_000;

/**
 * A token for one enrolment under these names. They are held to the policy now: a token that could never be redeemed is
 * not handed out.
 *
 * Denials: ERR_POLICY_*, ERR_LEDGER_BLOCKED.
 */
export async function createToken(
  order: TokenOrder,
  context: Pick<
    IssueContext,
    | 'config'
    | 'issuers'
    | 'standing'
    | 'haltOf'
    | 'ledger'
    | 'clock'
    | 'log'
    | 'metrics'
    | 'rootFingerprint'
  >,
): Promise<CreatedToken | Denial> {
  const { config, ledger, clock } = context;

  // 1. Names: what the policy and some intermediate admit.
  const named = parseNames(order);
  if (!named.ok) return named;
  const requester = { provisioner: 'operator', caller: 'token' };
  const { names } = named;
  const at = clock.now();
  const { issuers, haltOf } = context;
  const passedOver = await context.standing.unfit({ issuers, at, haltOf });
  const question = { at, names, requester, kind: undefined, ttlMs: undefined, unfit: passedOver };
  const judged = judgeNames(question, config, issuers);
  if (!judged.ok) return judged;

  // 2. Lifetimes: of the token, and of the certificate.
  const ttlMs = order.ttlMs ?? defaultTtlMs;
  if (ttlMs < 1000 || ttlMs > longestTtlMs) {
    const sides = `"${formatDuration(ttlMs)}", a join token lives from "1s" to "${formatDuration(longestTtlMs)}"`;
    return denial('ERR_POLICY_TTL', `token lifetime ${sides}`, { ttlMs });
  }
  const { certificateTtlMs } = order;
  const issuerDefault = judged.answer.profile;
  const chosen = chooseProfile({ asked: undefined, requester, names, issuerDefault }, config);
  if (!chosen.ok) return chosen;
  const unfit = wrongWithLifetime(certificateTtlMs, chosen.profile.lifetime);
  if (unfit !== undefined) return unfit;

  // 3. Blocks.
  const spiffeId = named.names.spiffeId?.toString();
  const block = await blockOf({ 'spiffe-id': spiffeId }, ledger);
  if (block !== undefined) {
    const sides = `was blocked by the revocation at position ${block.position}`;
    return denial('ERR_LEDGER_BLOCKED', `SPIFFE ID "${spiffeId}" ${sides}`, { spiffeId });
  }

  // 4. The record; the secret itself is in the answer alone.
  const token = createJoinToken(
    (size) => new Uint8Array(randomBytes(size)),
    context.rootFingerprint,
  );
  const expiresAt = clock.now() + ttlMs;
  await ledger.createToken({
    id: token.id,
    secretHash: secretHashOf(token),
    ...(spiffeId === undefined ? {} : { spiffeId }),
    names: formatNames({ ...named.names, spiffeId: undefined }),
    provisioner: 'operator',
    ...(certificateTtlMs === undefined ? {} : { ttlMs: certificateTtlMs }),
    expiresAt,
  });
  context.metrics.tokens.add();
  context.log.info(
    { token: token.id, spiffeId, dns: named.names.dns, expiresAt },
    'join token created',
  );
  return { ok: true, token, expiresAt };
}

function wrongWithLifetime(
  certificateTtlMs: number | undefined,
  { minMs, maxMs, maxBy }: LifetimeProfile,
): Denial | undefined {
  if (certificateTtlMs === undefined) return undefined;
  const asked = `certificate lifetime "${formatDuration(certificateTtlMs)}"`;
  const fields = { certificateTtlMs, minMs, maxMs };
  if (certificateTtlMs > maxMs) {
    const sides = `${asked} is longer than ${maxBy} "${formatDuration(maxMs)}"`;
    return denial('ERR_POLICY_TTL', sides, fields);
  }
  if (certificateTtlMs >= minMs) return undefined;
  const sides = `${asked} is shorter than the least of "${formatDuration(minMs)}"`;
  return denial('ERR_POLICY_TTL', sides, fields);
}
