import { randomUUID } from 'node:crypto';
import { done, type VaultCall, type VaultRoute } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { type FieldTable, ignoredParameters, readFields, type Values } from '../vault-fields.ts';
import type { AuthRecord } from '../vault-objects.ts';
import { badRequest, missing, type VaultRefusal } from '../vault-refusal.ts';
import { tokenFields, tokenFieldView, wrongWithTokenFields } from './token-fields.ts';

export interface RoleKind {
  /** Below the mount, such as `role`. */
  readonly path: string;
  readonly help: string;
  readonly fields: FieldTable;
  /** What is wrong across the fields; undefined where nothing is. */
  readonly wrong: (values: Values) => VaultRefusal | undefined;
  /** Names of fields that a role is shown with, beside those of tokens. */
  readonly shown: readonly string[];
  /** Of those, that are shown where they are set alone. */
  readonly shownIfSet?: readonly string[];
  /** Before a role is kept: what else it needs, or why it is not. */
  readonly keeps?: (change: RoleChange) => Promise<VaultRefusal | undefined>;
  /** Before it is taken away. */
  readonly removes?: (change: RoleChange) => Promise<void>;
}

export interface RoleChange {
  readonly context: VaultContext;
  readonly method: AuthRecord;
  readonly name: string;
  readonly values: Values;
}

/** Routes of the roles of a way to log in. */
export function roleRoutesOf(kind: RoleKind): readonly VaultRoute<AuthRecord>[] {
  const fields = { ...kind.fields, ...tokenFields };
  return [
    { path: kind.path, help: `${kind.help} All of them.`, on: { list: listRoles } },
    {
      path: `${kind.path}/:role`,
      help: kind.help,
      fields,
      creates: true,
      on: {
        read: readRole,
        update: (context, call, method) => writeRole(context, call, method),
        async delete(context, { names }, method) {
          const name = names.role ?? '';
          const values = await authRole(context, method, name);
          if (values !== undefined) await kind.removes?.({ context, method, name, values });
          await context.store.remove('vault-auth-role', `${method.uuid}.${name}`);
          return done;
        },
      },
    },
  ];

  async function readRole(context: VaultContext, { names }: VaultCall, method: AuthRecord) {
    const found = await authRole(context, method, names.role ?? '');
    if (found === undefined) return missing(`no role "${names.role}"`);
    const set = (kind.shownIfSet ?? []).filter((name) => (found[name] ?? '') !== '');
    const own = Object.fromEntries(
      [...kind.shown, ...set].map((name) => [name, shown(found[name])]),
    );
    return { ok: true, data: { ...own, ...tokenFieldView(found) } } as const;
  }

  async function writeRole(context: VaultContext, call: VaultCall, method: AuthRecord) {
    const { store, log } = context;
    const name = call.names.role ?? '';
    if (!/^\w(?:[\w.-]{0,62}\w)?$/.test(name)) {
      return badRequest(
        `role name "${name.slice(0, 100)}" is not made of up to 64 letters, digits, "_", "-" and "."`,
      );
    }
    const before = await authRole(context, method, name);
    const read = readFields(fields, call.body, before);
    if (!read.ok) return read;
    const wrong = wrongWithTokenFields(read.values) ?? kind.wrong(read.values);
    if (wrong !== undefined) return wrong;
    // One that is made again under its name is another: what was good for the first is not for it.
    const values = { ...read.values, instance: before?.instance ?? randomUUID() };
    const refused = await kind.keeps?.({ context, method, name, values });
    if (refused !== undefined) return refused;
    const { uuid } = method;
    await store.put('vault-auth-role', `${uuid}.${name}`, { name, values }, { owner: uuid });
    log.info(
      { auth: method.path, role: name, by: call.caller?.token.who },
      'vault login role written',
    );
    const warnings = ignoredParameters(read.unknown);
    return warnings.length === 0 ? done : ({ ok: true, data: null, warnings } as const);
  }
}

async function listRoles({ store }: VaultContext, _call: VaultCall, { uuid }: AuthRecord) {
  const all = await store.all('vault-auth-role', uuid, ({ name }) => `${uuid}.${name}`);
  if (all.length === 0) return missing('there are no roles');
  return { ok: true, data: { keys: all.map(({ name }) => name) } } as const;
}

export async function authRole(
  { store }: Pick<VaultContext, 'store'>,
  { uuid }: AuthRecord,
  name: string,
): Promise<Values | undefined> {
  return (await store.find('vault-auth-role', `${uuid}.${name}`))?.value.values;
}

export async function authConfig(
  { store }: VaultContext,
  { uuid }: AuthRecord,
): Promise<Values | undefined> {
  return (await store.find('vault-auth-config', uuid))?.value.values;
}

/** No list is shown where there would be nothing in it. */
function shown(value: unknown): unknown {
  return value === undefined || (Array.isArray(value) && value.length === 0) ? null : value;
}
