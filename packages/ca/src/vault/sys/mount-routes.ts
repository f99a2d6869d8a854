import { reachesInto } from '../access.ts';
import { authTypes } from '../auth/auth-methods.ts';
import type { Leases } from '../mounts.ts';
import { done, type VaultCall, type VaultRoute } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { field, get, readFields, type Values } from '../vault-fields.ts';
import {
  badRequest,
  notEntitled,
  refusal,
  unsupported,
  type VaultRefusal,
} from '../vault-refusal.ts';
import { authView, mountView, systemView, tokenMethodView } from './mount-views.ts';

const enableFields = {
  type: field.text('', 'What is to be mounted: "pki".'),
  description: field.text('', 'For people.'),
  config: field.map('"default_lease_ttl" and "max_lease_ttl".'),
  options: field.only(field.map('None.'), 'a mount has none'),
  local: field.only(field.bool(false, 'Only here.'), 'there is nothing to replicate'),
  seal_wrap: field.only(
    field.bool(false, 'Wrapped once more.'),
    'keys are sealed as all of them are',
  ),
  external_entropy_access: field.only(
    field.bool(false, 'Other randomness.'),
    'the machine is the source',
  ),
  plugin_name: field.text('', 'As "type".'),
  plugin_version: field.only(field.text('', 'Of a plugin.'), 'there are no plugins'),
} as const;

const tuneFields = {
  default_lease_ttl: field.duration(0, 'Lifetime of certificates for which none is asked.'),
  max_lease_ttl: field.duration(0, 'The longest lifetime.'),
  description: field.text('', 'For people.'),
} as const;

/** Below `sys/`: mounts and ways to log in, which the usual set-up scripts make. */
export const mountRoutes: readonly VaultRoute[] = [
  { path: 'mounts', help: 'Lists the mounts.', on: { read: listMounts } },
  {
    path: 'mounts/*path',
    help: 'One mount; with "/tune" behind it, its lifetimes.',
    fields: { ...enableFields, ...tuneFields },
    creates: true,
    on: {
      read: (context, call) => (isTune(call) ? readTune(context, call) : readMount(context, call)),
      update: (context, call) => (isTune(call) ? tune(context, call) : enable(context, call)),
      async delete({ mounts, madeKeys }, call) {
        const found = (await mounts.all()).find((each) => each.path === pathOf(call));
        if (found?.configured !== undefined) {
          return badRequest(`mount "${found.path}/" is one of ca.yaml: take it away there`);
        }
        if (found === undefined) return done;
        await madeKeys.removeAll(found);
        await mounts.remove(found);
        return done;
      },
    },
  },
  {
    path: 'remount',
    help: 'Moves a mount.',
    on: { update: () => unsupported('remount', 'make another mount, and take this one away') },
  },
  { path: 'auth', help: 'Lists the ways to log in.', on: { read: listAuth } },
  {
    path: 'auth/*path',
    help: 'One way to log in; with "/tune" behind it, its settings.',
    fields: enableFields,
    creates: true,
    sudo: ['read', 'update', 'delete'],
    on: {
      read: readAuth,
      update: (context, call) =>
        isTune(call) ? tuneAuth(context, call) : enableAuth(context, call),
      async delete({ authMethods }, call) {
        if (pathOf(call) === 'token')
          return badRequest('token credential backend cannot be disabled');
        await authMethods.disable(pathOf(call));
        return done;
      },
    },
  },
  {
    path: 'internal/ui/mounts',
    free: true,
    help: 'Mounts that the caller can do something in.',
    on: { read: visibleMounts },
  },
  {
    path: 'internal/ui/mounts/*path',
    free: true,
    help: 'The mount that a path is in.',
    on: { read: mountOfPath },
  },
];

async function listMounts({ mounts, version }: VaultContext) {
  const all = await mounts.all();
  const data: Record<string, unknown> = { 'sys/': systemView(version) };
  for (const each of all) data[`${each.path}/`] = mountView(each, version);
  return { ok: true, data, isFlat: true } as const;
}

async function readMount({ mounts, version }: VaultContext, call: VaultCall) {
  const found = (await mounts.all()).find((each) => each.path === pathOf(call));
  if (found === undefined) return badRequest(`No secret engine mount at ${pathOf(call)}/`);
  return { ok: true, data: mountView(found, version), isFlat: true } as const;
}

async function enable(context: VaultContext, call: VaultCall) {
  const { config, mounts, log } = context;
  const read = readFields(enableFields, call.body);
  if (!read.ok) return read;
  const type = get.text(read.values, 'type') || get.text(read.values, 'plugin_name');
  if (type === '') return badRequest('backend type must be specified as a string');
  if (type !== 'pki') return badRequest(`plugin not found in the catalog: ${type.slice(0, 60)}`);
  if (!config.newMounts) {
    return refusal(
      'ERR_VAULT_DENIED',
      403,
      'mounts are made in ca.yaml: vault.new_mounts is false',
    );
  }
  const leases = readLeases(Object(read.values.config));
  if (!('defaultLeaseMs' in leases)) return leases;
  const path = pathOf(call);
  const wrong = await mounts.make(
    path,
    get.text(read.values, 'description').slice(0, 1000),
    leases,
  );
  if (wrong !== undefined) return badRequest(wrong);
  log.info({ mount: path, by: call.caller?.token.who }, 'vault mount made');
  return done;
}

async function readTune({ mounts, authority }: VaultContext, call: VaultCall) {
  const found = (await mounts.all()).find((each) => each.path === pathOf(call));
  if (found === undefined) return badRequest(`cannot fetch sysview for path "${pathOf(call)}/"`);
  const { services } = authority.config;
  const { record } = found;
  const data = {
    default_lease_ttl: (record.defaultLeaseMs || services.validityMs) / 1000,
    description: record.description,
    force_no_cache: false,
    max_lease_ttl: (record.maxLeaseMs || services.maxValidityMs) / 1000,
  };
  return { ok: true, data, isFlat: true } as const;
}

async function tune({ mounts }: VaultContext, call: VaultCall) {
  const found = (await mounts.all()).find((each) => each.path === pathOf(call));
  if (found === undefined) return badRequest(`no mount at "${pathOf(call)}/"`);
  // What a client leaves alone it sends empty.
  const said = Object.entries(call.body).filter(([, each]) => each !== '' && each !== null);
  const read = readFields(tuneFields, Object.fromEntries(said));
  if (!read.ok) return read;
  const other = read.unknown.find((each) => isSet(call.body[each]));
  if (other !== undefined) {
    return unsupported(other.slice(0, 100), 'lifetimes and the description are tuned');
  }
  const { values, given } = read;
  await mounts.tune(found, {
    ...(given.has('default_lease_ttl') && {
      defaultLeaseMs: 1000 * get.number(values, 'default_lease_ttl'),
    }),
    ...(given.has('max_lease_ttl') && {
      maxLeaseMs: 1000 * get.number(values, 'max_lease_ttl'),
    }),
    ...(given.has('description') && {
      description: get.text(values, 'description').slice(0, 1000),
    }),
  });
  return done;
}

async function listAuth({ authMethods, version }: VaultContext) {
  const data: Record<string, unknown> = { 'token/': tokenMethodView(version) };
  for (const each of await authMethods.all()) data[`${each.path}/`] = authView(each, version);
  return { ok: true, data, isFlat: true } as const;
}

async function readAuth({ authMethods, version }: VaultContext, call: VaultCall) {
  const path = pathOf(call);
  const found = (await authMethods.all()).find((each) => each.path === path);
  if (path !== 'token' && found === undefined) {
    return badRequest(`No auth engine at ${path}/`);
  }
  const view = found === undefined ? tokenMethodView(version) : authView(found, version);
  const data = isTune(call) ? { ...Object(view.config), description: view.description } : view;
  return { ok: true, data, isFlat: true } as const;
}

async function enableAuth({ authMethods, log }: VaultContext, call: VaultCall) {
  const read = readFields(enableFields, call.body);
  if (!read.ok) return read;
  const type = get.text(read.values, 'type') || get.text(read.values, 'plugin_name');
  const known = authTypes.find((each) => each === type);
  if (known === undefined)
    return badRequest(`plugin not found in the catalog: ${type.slice(0, 60)}`);
  const [set] = Object.entries(Object(read.values.config)).filter(([, each]) => isSet(each));
  if (set !== undefined)
    return unsupported(`config.${set[0].slice(0, 60)}`, 'roles have the lifetimes of their tokens');
  const description = get.text(read.values, 'description').slice(0, 1000);
  const wrong = await authMethods.enable(pathOf(call), known, description);
  if (wrong !== undefined) return badRequest(wrong);
  log.info({ auth: pathOf(call), type, by: call.caller?.token.who }, 'vault login method enabled');
  return done;
}

async function tuneAuth({ authMethods }: VaultContext, call: VaultCall) {
  const found = (await authMethods.all()).find((each) => each.path === pathOf(call));
  if (found === undefined) return badRequest(`no mount at "auth/${pathOf(call)}/"`);
  const { description, ...more } = call.body;
  const [set] = Object.entries(more).filter(([, each]) => isSet(each));
  if (set !== undefined)
    return unsupported(set[0].slice(0, 60), 'roles have the lifetimes of their tokens');
  if (description !== undefined) {
    await authMethods.tune(found, { description: String(description).slice(0, 1000) });
  }
  return done;
}

async function visibleMounts(context: VaultContext, call: VaultCall) {
  const { mounts, authMethods, version } = context;
  const secret: Record<string, unknown> = {};
  const auth: Record<string, unknown> = {};
  for (const each of await mounts.all()) {
    if (await canReach(context, call, `${each.path}/`))
      secret[`${each.path}/`] = mountView(each, version);
  }
  for (const each of await authMethods.all()) {
    if (await canReach(context, call, `auth/${each.path}/`))
      auth[`${each.path}/`] = authView(each, version);
  }
  if (call.caller?.isRoot === true) {
    secret['sys/'] = systemView(version);
    auth['token/'] = tokenMethodView(version);
  }
  return { ok: true, data: { auth, secret } } as const;
}

async function mountOfPath(context: VaultContext, call: VaultCall) {
  const found = await context.mounts.at(pathOf(call));
  if (found === undefined || !(await canReach(context, call, `${found.path}/`))) {
    return notEntitled(`no mount at "${pathOf(call)}" that the token reaches into`);
  }
  const data = { ...mountView(found, context.version), path: `${found.path}/` };
  return { ok: true, data } as const;
}

async function canReach(
  { policies }: VaultContext,
  { caller }: VaultCall,
  mount: string,
): Promise<boolean> {
  if (caller === undefined) return false;
  if (caller.isRoot) return true;
  return reachesInto(await policies.rulesOf(caller.token.policies), mount);
}

const leaseFields = {
  default_lease_ttl: field.duration(0, ''),
  max_lease_ttl: field.duration(0, ''),
} as const;

function readLeases(config: Values): Leases | VaultRefusal {
  const read = readFields(leaseFields, config);
  if (!read.ok) return read;
  const other = read.unknown.find((each) => isSet(config[each]));
  if (other !== undefined)
    return unsupported(`config.${other.slice(0, 60)}`, 'a mount has lifetimes alone');
  return {
    defaultLeaseMs: 1000 * get.number(read.values, 'default_lease_ttl'),
    maxLeaseMs: 1000 * get.number(read.values, 'max_lease_ttl'),
  };
}

/** Clients send what they leave at its default. */
function isSet(value: unknown): boolean {
  const empty = [undefined, null, '', false, 0, '0', '0s', 'default-service'];
  if (Array.isArray(value)) return value.length > 0;
  return typeof value === 'object' && value !== null
    ? Object.keys(value).length > 0
    : !empty.includes(value as never);
}

function pathOf({ names }: VaultCall): string {
  return (names.path ?? '').replace(/\/tune$/, '').replace(/\/+$/, '');
}

function isTune({ names }: VaultCall): boolean {
  return names.path?.endsWith('/tune') === true;
}
