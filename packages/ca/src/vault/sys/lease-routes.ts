import { hash } from 'node:crypto';
import { done, type VaultCall, type VaultRoute } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { badRequest, refusedByAuthority, unsupported } from '../vault-refusal.ts';

/** Below `sys/`: leases of certificates whose role has `generate_lease`. */
export const leaseRoutes: readonly VaultRoute[] = [
  { path: 'leases/lookup', help: 'One lease.', on: { update: lookUp } },
  ...['leases/revoke', 'revoke'].map(
    (path): VaultRoute => ({
      path,
      help: 'Ends a lease, which revokes its certificate.',
      on: { update: revoke },
    }),
  ),
  ...['leases/renew', 'renew'].map(
    (path): VaultRoute => ({
      path,
      help: 'Certificates are not renewed by their lease.',
      on: { update: () => badRequest('lease is not renewable') },
    }),
  ),
  {
    path: 'leases/revoke-prefix/*prefix',
    help: 'Ends many leases.',
    on: {
      update: () =>
        unsupported('revoke-prefix', 'revoke certificates one by one, or by their provisioner'),
    },
  },
];

/** Ids are paths; records have plainer ones. */
export function leaseKey(id: string): string {
  return hash('sha256', id);
}

async function lookUp({ store, clock }: VaultContext, { body }: VaultCall) {
  const id = String(body.lease_id ?? '');
  if (id === '') return badRequest('lease_id must be specified');
  const found = await store.find('vault-lease', leaseKey(id));
  if (found === undefined) return badRequest('invalid lease');
  const { issuedAt, expiresAt } = found.value;
  const data = {
    expire_time: new Date(expiresAt).toISOString(),
    id,
    issue_time: new Date(issuedAt).toISOString(),
    last_renewal: null,
    renewable: false,
    ttl: Math.max(0, Math.floor((expiresAt - clock.now()) / 1000)),
  };
  return { ok: true, data } as const;
}

async function revoke({ store, authority }: VaultContext, { body, caller }: VaultCall) {
  const id = String(body.lease_id ?? '');
  if (id === '') return badRequest('lease_id must be specified');
  const found = await store.find('vault-lease', leaseKey(id));
  if (found === undefined) return done;
  const by = { kind: 'door', name: `vault:${caller?.token.who ?? ''}` } as const;
  const order = {
    by: 'serial',
    value: found.value.serialHex,
    reason: 'superseded',
    waitMs: 0,
  } as const;
  const answer = await authority.revoke(order, by);
  if (!answer.ok) return refusedByAuthority(answer);
  await store.remove('vault-lease', leaseKey(id));
  return done;
}
