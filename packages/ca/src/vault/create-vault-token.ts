import { type Clock, type Denial, denial, type Log, Secret } from '@countersign/base';
import type { VaultTokenRequest, VaultTokenResponse } from '@countersign/wire';
import type { CaConfig } from '../ca-config.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { Policies, rootPolicyName, unknownPolicies } from './policies.ts';
import { Tokens } from './tokens.ts';
import { VaultStore } from './vault-store.ts';

/**
 * A token of Vault's API by order of whoever holds the state: the first, or one in the place of a root token that was
 * lost. Good at every process over the ledger from then on.
 *
 * Denials: ERR_VAULT_OFF.
 */
export async function createVaultToken(
  { policies, ttlMs }: VaultTokenRequest,
  parts: {
    readonly config: Pick<CaConfig, 'vault'>;
    readonly ledger: Ledger;
    readonly clock: Clock;
    readonly log: Log;
  },
): Promise<({ readonly ok: true } & VaultTokenResponse) | Denial> {
  const { ledger, clock, log } = parts;
  const { vault: config } = parts.config;
  if (config === undefined)
    return denial('ERR_VAULT_OFF', 'create a vault token: ca.yaml has no "vault"');
  const store = new VaultStore(ledger);
  const tokens = new Tokens({ store, config, clock, log });
  const isRoot = policies.includes(rootPolicyName);
  // Every token but one of root may look at itself, as those that the API makes.
  const unknown = await unknownPolicies(new Policies(store, clock), policies);
  const {
    token,
    record,
    warnings: capped,
  } = await tokens.create({
    policies: isRoot ? [rootPolicyName] : [...new Set([...policies, 'default'])].toSorted(),
    displayName: 'token',
    who: 'token/operator',
    ...{ meta: undefined, path: 'auth/token/create', ttlMs: ttlMs ?? 0 },
    ...{ maxMs: 0, explicitMaxMs: 0, periodMs: 0, renewable: true, uses: 0, boundCidrs: [] },
    parent: undefined,
    isEndless: isRoot && ttlMs === undefined,
  });
  const { accessor, expiresAt } = record;
  const warnings = [...unknown, ...capped];
  log.info({ accessor, policies: record.policies, expiresAt, warnings }, 'vault token created');
  return {
    ok: true,
    token: new Secret(token),
    accessor,
    ...(expiresAt !== undefined && { expiresAt }),
    ...(warnings.length > 0 && { warnings }),
  };
}
