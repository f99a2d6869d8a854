import { type Clock, type Denial, denial, formatDuration, type Log } from '@countersign/base';
import { isReserved, type VerifiedPeer } from '@countersign/spiffe';
import { parseNames } from '../certificate-names.ts';
import { decideIssue } from '../decide-issue.ts';
import type { IssueContext } from '../issue.ts';
import { firstAnswer } from '../policy/judgement.ts';
import type { JwtConfig } from './jwt-config.ts';
import type { JwtKeys } from './jwt-keys.ts';
import { signJws } from './sign-jws.ts';

export interface JwtOrder {
  readonly spiffeId: string;
  /** Who is to accept it; at least one. */
  readonly audience: readonly string[];
  readonly ttlMs?: number | undefined;
  readonly peer: VerifiedPeer;
}

export interface IssuedJwt {
  readonly ok: true;
  readonly token: string;
  /** Milliseconds since the epoch. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

export interface JwtContext {
  readonly config: JwtConfig;
  readonly keys: JwtKeys;
  readonly issue: IssueContext;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * A JWT-SVID for whoever may have it: oneself, or the workloads that an entry or `api.registrars` lets one order for.
 *
 * Denials: ERR_API_FORBIDDEN, ERR_POLICY_*, ERR_LEDGER_BLOCKED.
 */
export async function issueJwtSvid(
  order: JwtOrder,
  context: JwtContext,
): Promise<IssuedJwt | Denial> {
  const { config, keys, issue, clock, log } = context;
  const { spiffeId, audience, peer } = order;
  const { trustDomain, api } = issue.config;
  // 1. a name of ours
  const named = parseNames({ spiffeId });
  if (!named.ok) return named;
  const { names } = named;
  const id = names.spiffeId;
  if (id === undefined || id.path === '' || id.trustDomain !== trustDomain || isReserved(id)) {
    return denial('ERR_POLICY_SPIFFE_ID', `"${spiffeId}" is no workload of "${trustDomain}"`);
  }
  // 2. who may have it
  const caller = peer.spiffeId?.toString() ?? `certificate ${peer.serialHex}`;
  const isOwn = caller === spiffeId;
  const isGranted =
    isOwn || api.registrars.includes(caller) || (await issue.entries.grants(caller, names));
  if (!isGranted) {
    const detail = `"${caller}" asks for a token of "${spiffeId}", neither api.registrars nor an entry lets it`;
    return denial('ERR_API_FORBIDDEN', detail, { caller, spiffeId });
  }
  // 3. as the policy would answer for a certificate of this name
  const block = await issue.ledger.blocking('spiffe-id', spiffeId);
  if (block !== undefined) {
    const detail = `"${spiffeId}" is blocked by the revocation at position ${block.position}`;
    return denial('ERR_LEDGER_BLOCKED', detail, { position: block.position });
  }
  const now = clock.now();
  const requester = { provisioner: caller, caller };
  const question = {
    ...{ at: now, names, requester, profile: undefined, issuer: undefined, ttlMs: undefined },
    ...{ request: undefined, kind: undefined, lifetime: {}, isOwn: false, random: issue.random },
  };
  const decided = isOwn
    ? ({ ok: true } as const)
    : firstAnswer(decideIssue(question, issue.config, issue.issuers));
  if (!decided.ok) return decided;
  // 4. for how long
  const { ttlMs = config.ttlMs } = order;
  if (ttlMs > config.maxTtlMs) {
    const sides = `lifetime "${formatDuration(ttlMs)}" is longer than the most of "${formatDuration(config.maxTtlMs)}"`;
    return denial('ERR_POLICY_TTL', sides, { askedMs: ttlMs, mostMs: config.maxTtlMs });
  }
  // 5. signed; JWT-SVID §3: sub, aud and exp, with iat so that consumers know when to come again
  const iat = Math.floor(now / 1000);
  const exp = iat + Math.max(1, Math.floor(ttlMs / 1000));
  const { issuer } = config;
  const claims = {
    sub: spiffeId,
    aud: audience,
    iat,
    exp,
    ...(issuer !== undefined && { iss: issuer }),
  };
  const { kid, signer } = await keys.current();
  const token = await signJws({ alg: config.algorithm, kid, typ: 'JWT' }, claims, signer);
  log.info({ spiffeId, audience, caller, kid, expiresAt: exp * 1000 }, 'token issued');
  return { ok: true, token, issuedAt: iat * 1000, expiresAt: exp * 1000 };
}
