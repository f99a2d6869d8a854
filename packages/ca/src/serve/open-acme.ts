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
  const [{ AcmeEdge }, { authorityForAcme }, { readAlternateChains }] = await Promise.all([
    import('../acme/acme-edge.ts'),
    import('../acme/authority-for-acme.ts'),
    import('../acme/alternate-chains.ts'),
  ]);
  const { ledger: state } = authority;
  const own = [...authority.doors.authorities(), authority.root];
  const alternates = await readAlternateChains(config.alternateChains, own, log);
  const asked = authorityForAcme(authority, alternates);
  return await AcmeEdge.open({ config, authority: asked, state, clock, log });
}
