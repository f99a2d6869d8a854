import type { Clock, Log } from '@countersign/base';
import { AcmeEdge } from '../acme/acme-edge.ts';
import { authorityForAcme } from '../acme/authority-for-acme.ts';
import type { Authority } from '../authority.ts';

/** The ACME edge, where ca.yaml opens it. */
export async function openAcme({
  authority,
  clock,
  log,
}: {
  readonly authority: Authority;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<AcmeEdge | undefined> {
  const { acme: config } = authority.config;
  if (config === undefined) return undefined;
  const { ledger: state } = authority;
  return await AcmeEdge.open({ config, authority: authorityForAcme(authority), state, clock, log });
}
