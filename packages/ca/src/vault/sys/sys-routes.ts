import type { VaultCall, VaultRoute } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { unsupported } from '../vault-refusal.ts';
import { leaseRoutes } from './lease-routes.ts';
import { mountRoutes } from './mount-routes.ts';
import { policyRoutes } from './policy-routes.ts';

const wrapping = 'answers are not wrapped';

/** Below `sys/`. */
export const sysRoutes: readonly VaultRoute[] = [
  { path: 'health', help: 'Whether it can answer.', open: ['read'], on: { read: health } },
  { path: 'seal-status', help: 'Whether it is sealed.', open: ['read'], on: { read: sealStatus } },
  {
    path: 'init',
    help: 'Whether it is initialised.',
    open: ['read'],
    on: { read: () => ({ ok: true, plain: { initialized: true } }) },
  },
  {
    path: 'leader',
    help: 'All processes over a ledger are alike.',
    open: ['read'],
    on: { read: () => ({ ok: true, plain: { ha_enabled: false } }) },
  },
  ...mountRoutes,
  ...policyRoutes,
  ...leaseRoutes,
  ...['wrap', 'unwrap', 'rewrap', 'lookup'].map(
    (name): VaultRoute => ({
      path: `wrapping/${name}`,
      help: 'Response wrapping.',
      open: ['update'],
      on: { update: () => unsupported(`wrapping/${name}`, wrapping) },
    }),
  ),
];

function health({ authority, version, clock }: VaultContext, { query }: VaultCall) {
  const isWell = authority.ledger.failure === undefined && authority.unwell() === undefined;
  const asked = Number(query.get(isWell ? 'activecode' : 'sealedcode') ?? '');
  const status = asked >= 200 && asked < 600 ? asked : isWell ? 200 : 503;
  return {
    ok: true,
    status,
    plain: {
      ...state(authority.rootFingerprint, version, !isWell),
      server_time_utc: Math.floor(clock.now() / 1000),
    },
  } as const;
}

function state(fingerprint: string, version: string, sealed: boolean) {
  return {
    initialized: true,
    sealed,
    standby: false,
    replication_performance_mode: 'disabled',
    replication_dr_mode: 'disabled',
    version,
    cluster_name: 'countersign',
    cluster_id: fingerprint.slice(0, 32),
  };
}

function sealStatus({ authority, version }: VaultContext) {
  const { cluster_name, cluster_id } = state(authority.rootFingerprint, version, false);
  return {
    ok: true,
    plain: {
      ...{ type: 'countersign', initialized: true, sealed: false, t: 1, n: 1, progress: 0 },
      ...{ nonce: '', recovery_seal: false, version, commit_date: '', migration: false },
      ...{ cluster_name, cluster_id, storage_type: 'ledger' },
    },
  } as const;
}
