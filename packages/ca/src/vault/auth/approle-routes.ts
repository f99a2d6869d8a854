import { hash, randomUUID } from 'node:crypto';
import { isWithin, wrongNetwork } from '../networks.ts';
import { done, type Handler, type VaultCall, type VaultRoute } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { field, get, readFields, type Values } from '../vault-fields.ts';
import type { AuthRecord, SecretIdRecord } from '../vault-objects.ts';
import { badRequest, missing, refusal, type VaultRefusal } from '../vault-refusal.ts';
import { creating } from '../vault-store.ts';
import { authRole, type RoleChange, roleRoutesOf } from './auth-roles.ts';
import { logIn, type Proved, wrongCredential } from './log-in.ts';

const roleFields = {
  bind_secret_id: field.bool(true, 'Whether a secret id is needed.'),
  secret_id_bound_cidrs: field.list([], 'Networks from which alone secret ids are good.'),
  bound_cidr_list: field.list([], 'As "secret_id_bound_cidrs".'),
  secret_id_num_uses: field.int(0, 'How often a secret id is good; 0: any number.'),
  secret_id_ttl: field.duration(0, 'How long a secret id is good; 0: for ever.'),
  local_secret_ids: field.only(
    field.bool(false, 'Not replicated.'),
    'there is nothing to replicate',
  ),
  role_id: field.text('', 'A role id of your own.'),
} as const;

const secretFields = {
  metadata: field.map('Shown with its tokens.'),
  cidr_list: field.list([], 'Networks from which alone it is good.'),
  token_bound_cidrs: field.list([], 'Networks from which alone its tokens are good.'),
  num_uses: field.int(-1, 'How often it is good; those of the role unless given.'),
  ttl: field.duration(0, 'How long it is good; that of the role unless given.'),
  secret_id: field.text('', 'A secret id of your own.'),
} as const;

const loginFields = {
  role_id: field.text('', 'The role id.'),
  secret_id: field.text('', 'The secret id.'),
} as const;

/** A secret that can be guessed is none. */
const leastSecret = 16;

/** Below an AppRole mount. */
export const approleRoutes: readonly VaultRoute<AuthRecord>[] = [
  {
    path: 'login',
    help: 'A token for a role id and a secret id.',
    fields: loginFields,
    open: ['update'],
    on: { update: login },
  },
  {
    path: 'role/:role/role-id',
    help: 'The role id of a role.',
    on: { read: ofRole(readRoleId), update: ofRole(writeRoleId) },
  },
  {
    path: 'role/:role/secret-id',
    help: 'A new secret id of a role; by LIST, the accessors of those that there are.',
    fields: secretFields,
    on: {
      update: ofRole((context, call, method, role) =>
        makeSecretId(context, call, method, role, undefined),
      ),
      list: ofRole(listSecretIds),
    },
  },
  {
    path: 'role/:role/custom-secret-id',
    help: 'A secret id that the caller brings.',
    fields: secretFields,
    on: { update: ofRole(customSecretId) },
  },
  ...['secret-id', 'secret-id-accessor'].flatMap((name): VaultRoute<AuthRecord>[] => [
    {
      path: `role/:role/${name}/lookup`,
      help: 'A secret id.',
      on: { update: ofRole(lookUpSecretId) },
    },
    {
      path: `role/:role/${name}/destroy`,
      help: 'Takes a secret id away.',
      on: { update: ofRole(destroySecretId), delete: ofRole(destroySecretId) },
    },
  ]),
  ...roleRoutesOf({
    path: 'role',
    help: 'A role that machines log in by.',
    fields: roleFields,
    shown: [
      'bind_secret_id',
      'local_secret_ids',
      'secret_id_bound_cidrs',
      'secret_id_num_uses',
      'secret_id_ttl',
    ],
    wrong: wrongWithRole,
    keeps: keepIndex,
    removes: removeSecrets,
  }),
];

function wrongWithRole(values: Values): VaultRefusal | undefined {
  for (const name of ['secret_id_bound_cidrs', 'bound_cidr_list']) {
    const network = wrongNetwork(get.list(values, name));
    if (network !== undefined)
      return badRequest(`"${name}": "${network.slice(0, 60)}" is no network`);
  }
  const isOpen =
    !get.bool(values, 'bind_secret_id') && get.list(values, 'token_bound_cidrs').length === 0;
  return isOpen ? badRequest('at least one constraint should be enabled on the role') : undefined;
}

async function login(context: VaultContext, call: VaultCall, method: AuthRecord) {
  const read = readFields(loginFields, call.body);
  if (!read.ok) return read;
  const roleId = get.text(read.values, 'role_id');
  const secretId = get.text(read.values, 'secret_id');
  if (roleId === '') return badRequest('missing role_id');
  return await logIn(context, call, method, () =>
    prove(context, call, method, { roleId, secretId }),
  );
}

async function prove(
  context: VaultContext,
  { from }: VaultCall,
  method: AuthRecord,
  { roleId, secretId }: { readonly roleId: string; readonly secretId: string },
): Promise<Proved | VaultRefusal> {
  const { store, clock } = context;
  const no = (operator: string) => wrongCredential('invalid role or secret ID', operator);
  const index = await store.find('vault-role-id', roleIdKey(method, roleId));
  const name = index?.value.role;
  const role = name === undefined ? undefined : await authRole(context, method, name);
  if (name === undefined || role === undefined || role.role_id !== roleId) {
    return no('no role has that role id');
  }
  const networks = [
    ...get.list(role, 'secret_id_bound_cidrs'),
    ...get.list(role, 'bound_cidr_list'),
  ];
  if (!isWithin(networks, from)) return no(`role "${name}" is not for ${from}`);
  if (!get.bool(role, 'bind_secret_id')) {
    const isBound = isWithin(get.list(role, 'token_bound_cidrs'), from);
    return isBound
      ? { ok: true, role, who: name, meta: { role_name: name } }
      : no(`role "${name}" is not for ${from}`);
  }
  if (secretId === '') return no(`role "${name}" needs a secret id`);
  const found = await store.find('vault-secret-id', secretKey(method, role, secretId));
  const now = clock.now();
  if (found === undefined || (found.value.expiresAt ?? Number.POSITIVE_INFINITY) <= now) {
    return no(`the secret id of role "${name}" is unknown or over`);
  }
  if (!isWithin(found.value.cidrs, from))
    return no(`the secret id of role "${name}" is not for ${from}`);
  // Whoever comes second for the last of its uses finds that it was taken.
  const { isLimited, hash: id } = found.value;
  if (isLimited && !(await store.takeUse('vault-secret-id', id))) {
    return no(`the secret id of role "${name}" was used as often as it is good`);
  }
  const { metadata, tokenCidrs } = found.value;
  const bound = tokenCidrs.length === 0 ? role : { ...role, token_bound_cidrs: tokenCidrs };
  return { ok: true, role: bound, who: name, meta: { ...metadata, role_name: name } };
}

async function readRoleId(
  context: VaultContext,
  call: VaultCall,
  method: AuthRecord,
  role: Values,
) {
  const roleId =
    get.text(role, 'role_id') || (await keepRoleId(context, call, method, role, randomUUID()));
  if (typeof roleId !== 'string') return roleId;
  return { ok: true, data: { role_id: roleId } } as const;
}

/** A role id that came with the role itself. */
async function keepIndex({ context, method, name, values }: RoleChange) {
  const roleId = get.text(values, 'role_id');
  if (roleId === '') return undefined;
  if (!roleIdForm.test(roleId)) return badRequest('"role_id" has 1 to 128 printable characters');
  const key = roleIdKey(method, roleId);
  const taken = await context.store.find('vault-role-id', key);
  if (taken !== undefined && taken.value.role !== name) return badRequest('role_id already in use');
  await context.store.put('vault-role-id', key, { role: name }, { owner: method.uuid });
  return undefined;
}

async function removeSecrets({ context, method, values }: RoleChange): Promise<void> {
  const { store } = context;
  await store.remove('vault-role-id', roleIdKey(method, get.text(values, 'role_id')));
  const all = await store.all('vault-secret-id', secretsOf(method, values), (each) => each.hash);
  for (const { hash: id } of all) await store.remove('vault-secret-id', id);
}

const roleIdForm = /^[\x21-\x7e]{1,128}$/;

async function writeRoleId(
  context: VaultContext,
  call: VaultCall,
  method: AuthRecord,
  role: Values,
) {
  const roleId = call.body.role_id;
  if (typeof roleId !== 'string' || !roleIdForm.test(roleId)) return badRequest('missing role_id');
  const kept = await keepRoleId(context, call, method, role, roleId);
  return typeof kept === 'string' ? done : kept;
}

async function keepRoleId(
  { store }: VaultContext,
  { names }: VaultCall,
  method: AuthRecord,
  role: Values,
  roleId: string,
): Promise<string | VaultRefusal> {
  const name = names.role ?? '';
  const owner = method.uuid;
  const key = roleIdKey(method, roleId);
  const taken = await store.find('vault-role-id', key);
  if (taken !== undefined && taken.value.role !== name) return badRequest('role_id already in use');
  const before = get.text(role, 'role_id');
  await store.put('vault-role-id', key, { role: name }, { owner });
  await store.put(
    'vault-auth-role',
    `${owner}.${name}`,
    { name, values: { ...role, role_id: roleId } },
    { owner },
  );
  if (before !== '' && before !== roleId)
    await store.remove('vault-role-id', roleIdKey(method, before));
  return roleId;
}

function customSecretId(context: VaultContext, call: VaultCall, method: AuthRecord, role: Values) {
  const secretId = call.body.secret_id;
  if (typeof secretId !== 'string' || secretId === '') return badRequest('missing secret_id');
  if (secretId.length < leastSecret || secretId.length > 1024) {
    return badRequest(
      `a secret id has ${leastSecret} to 1024 characters, this one has ${secretId.length}`,
    );
  }
  return makeSecretId(context, call, method, role, secretId);
}

async function makeSecretId(
  context: VaultContext,
  call: VaultCall,
  method: AuthRecord,
  role: Values,
  own: string | undefined,
) {
  const { store, clock, log } = context;
  const name = call.names.role ?? '';
  if (!get.bool(role, 'bind_secret_id')) return badRequest('bind_secret_id is not set on the role');
  const read = readFields(secretFields, call.body);
  if (!read.ok) return read;
  const { values, given } = read;
  const cidrs = get.list(values, 'cidr_list');
  const tokenCidrs = get.list(values, 'token_bound_cidrs');
  const network = wrongNetwork([...cidrs, ...tokenCidrs]);
  if (network !== undefined) return badRequest(`"${network.slice(0, 60)}" is no network`);
  const uses = given.has('num_uses')
    ? get.number(values, 'num_uses')
    : get.number(role, 'secret_id_num_uses');
  const ttlMs = 1000 * (get.number(values, 'ttl') || get.number(role, 'secret_id_ttl'));
  const secretId = own ?? randomUUID();
  const now = clock.now();
  const record: SecretIdRecord = {
    hash: secretKey(method, role, secretId),
    accessor: randomUUID(),
    role: name,
    metadata: Object.fromEntries(
      Object.entries(Object(values.metadata))
        .slice(0, 64)
        .map(([key, each]) => [key, String(each).slice(0, 1024)]),
    ),
    ...{ cidrs, tokenCidrs, createdAt: now, updatedAt: now, ttlMs },
    expiresAt: ttlMs === 0 ? undefined : now + ttlMs,
    usesLeft: Math.max(0, uses),
    isLimited: uses > 0,
  };
  const owner = secretsOf(method, role);
  const made = await store.change(
    creating('vault-secret-id', record.hash, record, { owner, expiresAt: endOf(record) }),
  );
  if (!made) return badRequest('SecretID is already registered');
  log.info({ auth: method.path, role: name, by: call.caller?.token.who }, 'vault secret id made');
  const data = {
    secret_id: secretId,
    secret_id_accessor: record.accessor,
    secret_id_num_uses: record.usesLeft,
    secret_id_ttl: ttlMs / 1000,
  };
  return { ok: true, data } as const;
}

async function listSecretIds(
  { store, clock }: VaultContext,
  _call: VaultCall,
  method: AuthRecord,
  role: Values,
) {
  const all = await store.all('vault-secret-id', secretsOf(method, role), (each) => each.hash);
  const keys = all.filter((each) => endOf(each) > clock.now()).map((each) => each.accessor);
  return keys.length === 0
    ? missing('there are no secret ids')
    : ({ ok: true, data: { keys } } as const);
}

async function lookUpSecretId(
  context: VaultContext,
  call: VaultCall,
  method: AuthRecord,
  role: Values,
) {
  const found = await findSecretId(context, call, method, role);
  if (found === undefined) return done;
  const data = {
    cidr_list: found.cidrs,
    creation_time: new Date(found.createdAt).toISOString(),
    expiration_time: new Date(found.expiresAt ?? 0).toISOString(),
    last_updated_time: new Date(found.updatedAt).toISOString(),
    metadata: found.metadata,
    secret_id_accessor: found.accessor,
    secret_id_num_uses: found.usesLeft,
    secret_id_ttl: found.ttlMs / 1000,
    token_bound_cidrs: found.tokenCidrs,
  };
  return { ok: true, data } as const;
}

async function destroySecretId(
  context: VaultContext,
  call: VaultCall,
  method: AuthRecord,
  role: Values,
) {
  const found = await findSecretId(context, call, method, role);
  if (found === undefined) return badRequest('invalid secret id');
  await context.store.remove('vault-secret-id', found.hash);
  return done;
}

async function findSecretId(
  { store, clock }: VaultContext,
  { body }: VaultCall,
  method: AuthRecord,
  role: Values,
) {
  const { secret_id: secretId, secret_id_accessor: accessor } = body;
  if (typeof secretId === 'string') {
    const found = await store.find('vault-secret-id', secretKey(method, role, secretId));
    return found !== undefined && endOf(found.value) > clock.now() ? found.value : undefined;
  }
  const all = await store.all('vault-secret-id', secretsOf(method, role), (each) => each.hash);
  return all.find((each) => each.accessor === accessor && endOf(each) > clock.now());
}

type OfRole = (
  context: VaultContext,
  call: VaultCall,
  method: AuthRecord,
  role: Values,
) => ReturnType<Handler>;

function ofRole(then: OfRole): Handler<AuthRecord> {
  return async function withRole(context, call, method) {
    const name = call.names.role ?? '';
    const role = await authRole(context, method, name);
    if (role === undefined) {
      return call.operation === 'update'
        ? refusal('ERR_VAULT_PATH', 404, `role "${name.slice(0, 100)}" does not exist`)
        : missing(`no role "${name}"`);
    }
    return await then(context, call, method, role);
  };
}

function endOf({ expiresAt }: SecretIdRecord): number {
  return expiresAt ?? Number.MAX_SAFE_INTEGER;
}

function roleIdKey({ uuid }: AuthRecord, roleId: string): string {
  return hash('sha256', JSON.stringify([uuid, 'role-id', roleId]));
}

function secretKey({ uuid }: AuthRecord, role: Values, secretId: string): string {
  return hash('sha256', JSON.stringify([uuid, role.instance, secretId]));
}

function secretsOf({ uuid }: AuthRecord, role: Values): string {
  return `${uuid}.${get.text(role, 'instance')}`;
}
