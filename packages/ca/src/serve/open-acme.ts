import type { Clock, Log } from '@countersign/base';
import type { AcmeEdge } from '../acme/acme-edge.ts';
import type { Authority } from '../authority.ts';

/** The ACME edge, where ca.yaml opens it: loaded there alone. */
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
  const [{ AcmeEdge }, { authorityForAcme }] = await Promise.all([
    import('../acme/acme-edge.ts'),
    import('../acme/authority-for-acme.ts'),
  ]);
  const { ledger: state } = authority;
  return await AcmeEdge.open({ config, authority: authorityForAcme(authority), state, clock, log });
}
