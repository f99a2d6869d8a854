import type { PkiMount } from '../mounts.ts';
import type { Values } from '../vault-fields.ts';
import type { AuthRecord, MountRecord } from '../vault-objects.ts';

/** How mounts are shown: those of certificates, and ways to log in. */
export function mountView({ record }: Pick<PkiMount, 'record'>, version: string): Values {
  return { ...common(record, version), options: {}, type: 'pki' };
}

export function authView(record: AuthRecord, version: string): Values {
  const view = common(record, version);
  const config = { ...(view.config as object), token_type: 'default-service' };
  return { ...view, config, options: {}, type: record.type };
}

export function tokenMethodView(version: string): Values {
  const description = 'token based credentials';
  const record = { description, accessor: 'auth_token_builtin', uuid: '', path: 'token' };
  const view = common({ ...record, defaultLeaseMs: 0, maxLeaseMs: 0 }, version);
  const config = { ...(view.config as object), token_type: 'default-service' };
  const { deprecation_status: _, ...shown } = view;
  return { ...shown, config, options: null, type: 'token' };
}

export function systemView(version: string): Values {
  const description = 'system endpoints used for control, policy and debugging';
  const record = { description, accessor: 'system_builtin', uuid: '', path: 'sys' };
  const view = common({ ...record, defaultLeaseMs: 0, maxLeaseMs: 0 }, version);
  const { deprecation_status: _, ...shown } = view;
  return { ...shown, options: null, type: 'system' };
}

function common(record: MountRecord, version: string): Values {
  return {
    accessor: record.accessor,
    config: {
      default_lease_ttl: record.defaultLeaseMs / 1000,
      force_no_cache: false,
      max_lease_ttl: record.maxLeaseMs / 1000,
    },
    deprecation_status: 'supported',
    description: record.description,
    external_entropy_access: false,
    local: false,
    plugin_version: '',
    running_plugin_version: `v${version}+countersign`,
    running_sha256: '',
    seal_wrap: false,
    uuid: record.uuid,
  };
}
