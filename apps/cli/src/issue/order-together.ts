import { CountersignError } from '@countersign/base';
import type { Authority } from '@countersign/ca';
import { authorityClient, readIdentity } from '@countersign/identity';
import { staticBundles, staticSvid } from '@countersign/spiffe';
import type { BatchOrder, BatchResponse } from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { asOperator } from '../state/open-state.ts';
import type { StateOptions } from '../state/state-options.ts';

/** By whose right: whoever holds the state, or an identity that `api.registrars` names. */
export interface RightOptions extends Partial<StateOptions> {
  readonly ca?: string;
  readonly identity?: string;
}

/** Orders certificates in one call. @throws CountersignError where the call failed as a whole */
export async function orderTogether(
  cli: Cli,
  options: RightOptions,
  orders: readonly BatchOrder[],
): Promise<BatchResponse> {
  const { data, ca, identity } = options;
  if (data !== undefined && ca === undefined && identity === undefined) {
    return asOperator(
      cli,
      { ...options, data },
      {
        server: (client) => client.issueBatch({ orders }),
        state: (authority) => issueHere(authority, orders),
      },
    );
  }
  if (data !== undefined || identity === undefined) {
    const sides = 'either --data, or --identity with --ca, says by whose right';
    throw new CountersignError('ERR_USAGE', `issue: ${sides}`);
  }
  const own = await readIdentity(identity);
  const url = ca ?? own.ca;
  if (url === undefined) {
    const sides = '--ca is missing, and identity.json names no authority';
    throw new CountersignError('ERR_USAGE', `issue: ${sides}`);
  }
  const client = authorityClient({
    url,
    svids: staticSvid(own.svid),
    bundles: staticBundles(own.bundle),
    trustDomain: own.bundle.trustDomain,
    clock: cli.clock,
  });
  return client.issueBatch({ orders });
}

async function issueHere(
  authority: Authority,
  orders: readonly BatchOrder[],
): Promise<BatchResponse> {
  const answers = await Promise.all(orders.map((order) => authority.issue(order)));
  const results = answers.map((answer) => {
    if (!answer.ok)
      return { ok: false, id: 'here', code: answer.code, detail: answer.detail } as const;
    const { spiffeId, serialHex: serial, notAfter, chain } = answer;
    return {
      ok: true,
      serial,
      notAfter,
      chain,
      ...(spiffeId !== undefined && { spiffeId }),
    } as const;
  });
  return { results, ...authority.issueResponseParts() };
}
