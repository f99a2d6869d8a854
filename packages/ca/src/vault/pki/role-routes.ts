import type { PkiMount } from '../mounts.ts';
import { done, type VaultCall, type VaultRoute } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { ignoredParameters, readFields, type Values } from '../vault-fields.ts';
import { badRequest, missing } from '../vault-refusal.ts';
import { roleFields, roleWarnings, settleRole } from './role-fields.ts';
import { roleOf } from './sign.ts';

/** Of a mount: what callers may have signed. */
export const roleRoutes: readonly VaultRoute<PkiMount>[] = [
  { path: 'roles', help: 'Lists the roles.', on: { list: listRoles } },
  {
    path: 'roles/:role',
    help: 'A role: which certificates may be asked for by it.',
    fields: roleFields,
    on: { read: readRole, update: writeRole, patch: patchRole, delete: deleteRole },
  },
];

async function listRoles({ store }: VaultContext, _call: VaultCall, { record }: PkiMount) {
  const { uuid } = record;
  const all = await store.all('vault-role', uuid, ({ name }) => `${uuid}.${name}`);
  if (all.length === 0) return missing('there are no roles');
  return { ok: true, data: { keys: all.map(({ name }) => name) } } as const;
}

async function readRole(context: VaultContext, { names }: VaultCall, mount: PkiMount) {
  const found = await roleOf(context, mount, names.role ?? '');
  return found === undefined
    ? missing(`no role "${names.role}"`)
    : ({ ok: true, data: found } as const);
}

function writeRole(context: VaultContext, call: VaultCall, mount: PkiMount) {
  return keepRole(context, call, mount, {});
}

/** What the request leaves out stays as it is. */
async function patchRole(context: VaultContext, call: VaultCall, mount: PkiMount) {
  const before = await roleOf(context, mount, call.names.role ?? '');
  if (before === undefined) return missing(`no role "${call.names.role}"`);
  return keepRole(context, call, mount, before);
}

async function keepRole(
  { store, log }: VaultContext,
  call: VaultCall,
  mount: PkiMount,
  before: Values,
) {
  const name = call.names.role ?? '';
  if (!/^\w(?:[\w.-]{0,62}\w)?$/.test(name)) {
    return badRequest(
      `role name "${name.slice(0, 100)}" is not made of up to 64 letters, digits, "_", "-" and "."`,
    );
  }
  const read = readFields(roleFields, call.body, before);
  if (!read.ok) return read;
  const settled = settleRole(read.values);
  if (!settled.ok) return settled;
  const { uuid } = mount.record;
  const { values } = settled;
  await store.put('vault-role', `${uuid}.${name}`, { name, values }, { owner: uuid });
  log.info({ mount: mount.path, role: name, by: call.caller?.token.who }, 'vault role written');
  return {
    ok: true,
    data: values,
    warnings: [...roleWarnings(values), ...ignoredParameters(read.unknown)],
  } as const;
}

async function deleteRole(
  { store, log }: VaultContext,
  call: VaultCall,
  { record, path }: PkiMount,
) {
  const role = call.names.role ?? '';
  await store.remove('vault-role', `${record.uuid}.${role}`);
  log.info({ mount: path, role, by: call.caller?.token.who }, 'vault role deleted');
  return done;
}
