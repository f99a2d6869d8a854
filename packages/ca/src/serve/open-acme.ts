import type { Clock, Log } from '@countersign/base';
import type { AcmeEdge } from '../acme/acme-edge.ts';
import type { Authority } from '../authority.ts';
import type { IssueLine } from './issue-line.ts';

/** The ACME edge, where ca.yaml opens it: loaded there alone. */
export async function openAcme({
  authority,
  line,
  clock,
  log,
}: {
  readonly authority: Authority;
  readonly line?: IssueLine;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<AcmeEdge | undefined> {
  const { acme: config } = authority.config;
  if (config === undefined) return undefined;
  const [edge, forAcme, chains, device] = await Promise.all([
    import('../acme/acme-edge.ts'),
    import('../acme/authority-for-acme.ts'),
    import('../acme/alternate-chains.ts'),
    import('../acme/device/attestation-roots.ts'),
  ]);
  const { ledger: state } = authority;
  const own = [...authority.doors.authorities(), authority.root];
  const attestationRoots = await device.readAttestationRoots(config.deviceAttestation);
  const alternates = await chains.readAlternateChains(config.alternateChains, own, log);
  const asked = forAcme.authorityForAcme(authority, alternates);
  const parts = { config, authority: asked, state, attestationRoots, line, clock, log };
  return await edge.AcmeEdge.open(parts);
}
