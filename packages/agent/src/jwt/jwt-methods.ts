import { CountersignError, type Denial, denial, type Log, messageOf } from '@countersign/base';
import { staticBundles, type TrustBundle, verifyJwtSvid } from '@countersign/spiffe';
import { jwtLimits } from '@countersign/wire';
import type { Entry } from '../entries/entry.ts';
import type { Workload } from '../serve/admit-workload.ts';
import {
  type JwtSvidRequest,
  type ValidateJwtSvidRequest,
  workloadMessages,
} from '../serve/workload-messages.ts';
import type { HeldIdentities } from '../svids/held-identities.ts';
import { structOf } from './claims-struct.ts';
import type { JwtCache } from './jwt-cache.ts';

export interface JwtMethodsOptions {
  readonly tokens: JwtCache;
  readonly identities: HeldIdentities;
  readonly now: () => number;
  readonly log: Log;
}

/** What a string that was no UTF-8 has in its place, and controls: a verifier might read an audience with these as another. */
const noText = /[\p{Cc}\ufffd]/u;

/**
 * A token for each identity of the workload, or for the one that it names. Denials: ERR_AGENT_REQUEST, ERR_AGENT_NOT_YET,
 * ERR_AGENT_NO_IDENTITY.
 */
export async function fetchJwtSvid(
  { audience, spiffeId = '' }: JwtSvidRequest,
  { entries }: Workload,
  { tokens, log }: JwtMethodsOptions,
): Promise<Uint8Array | Denial> {
  // JWT-SVID §3.2, Workload API §6.2.1: without an audience nothing is issued.
  if (audience.length === 0 || audience.includes('')) {
    return denial('ERR_AGENT_REQUEST', 'audience must be specified');
  }
  if (audience.some((each) => noText.test(each))) {
    return denial('ERR_AGENT_REQUEST', 'audience is no text in UTF-8, or holds control characters');
  }
  if (audience.length > jwtLimits.audience) {
    return denial('ERR_AGENT_REQUEST', `at most ${jwtLimits.audience} audiences are possible`);
  }
  const wanted = oncePerId(entries.filter((each) => spiffeId === '' || each.spiffeId === spiffeId));
  if (wanted.length === 0) {
    const detail = `"${spiffeId.slice(0, 200)}" is no identity of this workload`;
    return denial('ERR_AGENT_NO_IDENTITY', detail);
  }
  const fetched = await Promise.allSettled(wanted.map((entry) => tokens.tokenOf(entry, audience)));
  const svids = fetched.flatMap((each, index) => {
    const entry = wanted[index];
    if (each.status === 'rejected' || entry === undefined) return [];
    return [{ spiffeId: entry.spiffeId, svid: each.value.token, hint: entry.hint }];
  });
  const failed = fetched.find((each) => each.status === 'rejected');
  if (failed !== undefined) {
    const { reason } = failed;
    const code = reason instanceof CountersignError ? reason.code : 'ERR_INTERNAL';
    log.warn(
      { code, spiffeId: wanted[fetched.indexOf(failed)]?.spiffeId },
      `token not issued: ${messageOf(reason)}`,
    );
    if (svids.length === 0) return denial('ERR_AGENT_NOT_YET', messageOf(reason));
  }
  return workloadMessages.jwtSvidResponse.encode({ svids });
}

/** Who the bearer of a token is, by the bundles that the workload knows. Denials: ERR_AGENT_REQUEST, ERR_JWT_*. */
export async function validateJwtSvid(
  { audience = '', svid: token = '' }: ValidateJwtSvidRequest,
  { entries }: Workload,
  { identities, now }: JwtMethodsOptions,
): Promise<Uint8Array | Denial> {
  if (audience === '') return denial('ERR_AGENT_REQUEST', 'audience must be specified');
  if (token === '') return denial('ERR_AGENT_REQUEST', 'svid must be specified');
  const { own, foreign } = identities.bundlesFor(entries);
  const bundles = staticBundles(own, ...foreign);
  const verified = verifyJwtSvid({ token, audience: [audience], bundles, at: now() });
  if (!verified.ok) return verified;
  const { svid } = verified;
  return workloadMessages.validateJwtSvidResponse.encode({
    spiffeId: svid.spiffeId.toString(),
    claims: structOf(svid.claims),
  });
}

/** The keys by which tokens of these entries' trust domains are proved, as JWK Sets. */
export function jwtBundles(
  entries: readonly Entry[],
  identities: HeldIdentities,
): { readonly ok: true; readonly key: string; readonly bytes: Uint8Array } {
  const { own, foreign, key } = identities.bundlesFor(entries);
  const bytes = identities.written('jwt-bundles', key, () =>
    workloadMessages.jwtBundlesResponse.encode({
      bundles: Object.fromEntries(
        [own, ...foreign].map((bundle) => [`spiffe://${bundle.trustDomain}`, keySetOf(bundle)]),
      ),
    }),
  );
  return { ok: true, key, bytes };
}

function keySetOf({ jwtKeys = [] }: TrustBundle): Uint8Array {
  const keys = jwtKeys.map((key) => ({ ...key, use: 'jwt-svid' }));
  return Buffer.from(JSON.stringify({ keys }));
}

/** Of two entries with one SPIFFE ID the first is meant, as everywhere. */
function oncePerId(entries: readonly Entry[]): readonly Entry[] {
  const seen = new Set<string>();
  return entries.filter(({ spiffeId }) => !seen.has(spiffeId) && seen.add(spiffeId));
}
