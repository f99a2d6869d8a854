import type { MadeToken } from '../tokens.ts';
import type { Values } from '../vault-fields.ts';
import type { TokenRecord } from '../vault-objects.ts';

/** What a login or a creation answers; the token is in no other answer. */
export function authOf({ token, record }: Pick<MadeToken, 'token' | 'record'>): Values {
  return {
    client_token: token,
    accessor: record.accessor,
    policies: record.policies,
    token_policies: record.policies,
    metadata: record.meta ?? null,
    lease_duration: Math.floor(record.ttlMs / 1000),
    renewable: record.renewable,
    entity_id: '',
    token_type: 'service',
    orphan: record.parent === undefined,
    mfa_requirement: null,
    num_uses: record.usesLeft,
  };
}

/** What looking a token up answers; `id` is shown to whoever has shown it. */
export function tokenView(record: TokenRecord, id: string, now: number): Values {
  const { expiresAt } = record;
  return {
    accessor: record.accessor,
    creation_time: Math.floor(record.createdAt / 1000),
    creation_ttl: Math.floor(record.ttlMs / 1000),
    display_name: record.displayName,
    entity_id: '',
    expire_time: expiresAt === undefined ? null : new Date(expiresAt).toISOString(),
    explicit_max_ttl: Math.floor(record.explicitMaxMs / 1000),
    id,
    issue_time: new Date(record.createdAt).toISOString(),
    meta: record.meta ?? null,
    num_uses: record.isLimited ? Math.max(1, record.usesLeft) : 0,
    orphan: record.parent === undefined,
    path: record.path,
    policies: record.policies,
    renewable: record.renewable,
    ttl: expiresAt === undefined ? 0 : Math.max(0, Math.floor((expiresAt - now) / 1000)),
    type: 'service',
    ...(record.periodMs > 0 && { period: Math.floor(record.periodMs / 1000) }),
  };
}
