import type { GatewayModel } from './gateway-model.ts';

/** Whether something is shown, or somebody trusted, that only the gateway's own identity says. */
export function needsOwnIdentity({ listeners, clusters }: GatewayModel): boolean {
  const servers = listeners.flatMap(({ chains }) => chains.flatMap(({ tls }) => tls ?? []));
  const asks = servers.some(
    ({ identity, trust, clientAuth }) =>
      identity === 'own' || (trust === 'own' && clientAuth !== 'none'),
  );
  return asks || clusters.some(({ tls }) => tls?.identity === 'own' || tls?.trust === 'own');
}
