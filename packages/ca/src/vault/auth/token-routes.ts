import { defaultPolicyName, rootPolicyName, unknownPolicies } from '../policies.ts';
import { hashOf, isRoot, type TokenOrder } from '../tokens.ts';
import { done, type Handler, type VaultCall, type VaultRoute } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { field, get, ignoredParameters, readFields, type Values } from '../vault-fields.ts';
import type { TokenRecord } from '../vault-objects.ts';
import { badRequest, missing, refusal, type VaultRefusal } from '../vault-refusal.ts';
import { authOf, tokenView } from './token-views.ts';

const createFields = {
  id: field.only(field.text('', 'The token itself.'), 'tokens are made here'),
  policies: field.list([], 'Its policies. Default: those of the token that makes it.'),
  ttl: field.duration(0, 'Its lifetime.'),
  lease: field.duration(0, 'As "ttl".'),
  explicit_max_ttl: field.duration(0, 'No renewal reaches beyond it.'),
  period: field.duration(0, 'Each renewal gives it so long again.'),
  renewable: field.bool(true, 'Whether it can be renewed.'),
  no_parent: field.bool(false, 'It does not end with the token that makes it.'),
  no_default_policy: field.bool(false, 'Without the policy "default".'),
  display_name: field.text('', 'A name for people.'),
  num_uses: field.int(0, 'How often it can be used; 0: any number.'),
  meta: field.map('Shown when it is looked up.'),
  type: field.text('', '"service" or empty.'),
  entity_alias: field.only(field.text('', 'An alias of an entity.'), 'there are no entities'),
} as const;

const tokenField = { token: field.text('', 'The token.') } as const;
const incrementField = {
  increment: field.duration(0, 'How long it is to last from now.'),
} as const;
const accessorField = { accessor: field.text('', 'The accessor of the token.') } as const;

/** Below `auth/token/`. */
export const tokenRoutes: readonly VaultRoute[] = [
  {
    path: 'create',
    help: 'Makes a token with some or all of the policies of the one that is shown.',
    fields: createFields,
    creates: true,
    on: { update: (context, call) => createToken(context, call, false) },
  },
  {
    path: 'create-orphan',
    help: 'Makes a token that does not end with the one that is shown.',
    fields: createFields,
    creates: true,
    sudo: ['update'],
    on: { update: (context, call) => createToken(context, call, true) },
  },
  {
    path: 'create/:role',
    help: 'Makes a token by a role; there are no roles of tokens here.',
    on: { update: (_, { names }) => badRequest(`unknown role ${names.role}`) },
  },
  {
    path: 'lookup-self',
    help: 'The token that is shown.',
    on: { read: lookUpSelf, update: lookUpSelf },
  },
  {
    path: 'lookup',
    help: 'A token, by itself.',
    fields: tokenField,
    on: { update: withToken((context, _, found, id) => view(context, found, id)) },
  },
  {
    path: 'lookup-accessor',
    help: 'A token, by its accessor.',
    fields: accessorField,
    on: { update: withAccessor((context, _, found) => view(context, found, '')) },
  },
  {
    path: 'accessors',
    help: 'The accessors of all tokens.',
    sudo: ['list'],
    on: { list: async ({ tokens }) => listed(await tokens.accessors()) },
  },
  {
    path: 'renew-self',
    help: 'Renews the token that is shown.',
    fields: incrementField,
    on: { update: renewSelf },
  },
  {
    path: 'renew',
    help: 'Renews a token.',
    fields: { ...tokenField, ...incrementField },
    on: { update: withToken((context, call, found, id) => renew(context, call, found, id)) },
  },
  {
    path: 'renew-accessor',
    help: 'Renews a token, by its accessor.',
    fields: { ...accessorField, ...incrementField },
    on: { update: withAccessor((context, call, found) => renew(context, call, found, '')) },
  },
  { path: 'revoke-self', help: 'Ends the token that is shown.', on: { update: revokeSelf } },
  {
    path: 'revoke',
    help: 'Ends a token, and all that end with it.',
    fields: tokenField,
    on: { update: revoke },
  },
  {
    path: 'revoke-accessor',
    help: 'Ends a token, by its accessor.',
    fields: accessorField,
    on: {
      update: withAccessor(async ({ tokens }, _, found) => {
        await tokens.revoke(found.hash);
        return done;
      }),
    },
  },
];

async function createToken(context: VaultContext, call: VaultCall, isOrphan: boolean) {
  const { tokens, log } = context;
  const parent = mustHave(call);
  const read = readFields(createFields, call.body);
  if (!read.ok) return read;
  const { values } = read;
  const names = policiesFor(values, parent, read.given.has('policies'));
  if (!Array.isArray(names)) return names as VaultRefusal;
  const type = get.text(values, 'type');
  if (type !== '' && type !== 'service' && type !== 'default') {
    return badRequest(
      `invalid 'token_type' value, "${type.slice(0, 40)}": only service tokens are made`,
    );
  }
  const meta = metaOf(values.meta);
  if (meta === undefined) return badRequest('"meta" is a map of texts');
  const orphan = isOrphan || get.bool(values, 'no_parent');
  if (orphan && !isOrphan && !isRoot(parent)) {
    return badRequest('root or sudo privileges required to create orphan token');
  }
  const periodMs = 1000 * get.number(values, 'period');
  if (periodMs > 0 && !isRoot(parent)) {
    return badRequest('root or sudo privileges required to create periodic token');
  }
  if (!orphan && tokens.isTooDeep(await tokens.depthOf(parent))) {
    return badRequest('the token that makes it is too far down already: make an orphan');
  }
  const ttlMs = 1000 * (get.number(values, 'ttl') || get.number(values, 'lease'));
  const title = get
    .text(values, 'display_name')
    .replaceAll(/[^A-Za-z0-9-]/g, '-')
    .slice(0, 64);
  const displayName = title === '' ? 'token' : `token-${title}`;
  const order: TokenOrder = {
    ...{ policies: names, displayName, meta: Object.keys(meta).length === 0 ? undefined : meta },
    who: title === '' ? parent.who : `token/${title}`,
    path: `auth/token/${isOrphan ? 'create-orphan' : 'create'}`,
    ...{
      ttlMs,
      maxMs: 0,
      explicitMaxMs: 1000 * get.number(values, 'explicit_max_ttl'),
      periodMs,
    },
    renewable: get.bool(values, 'renewable'),
    uses: Math.max(0, get.number(values, 'num_uses')),
    boundCidrs: parent.boundCidrs,
    // One of ca.yaml has no record of its own to end with.
    parent: orphan || parent.accessor.startsWith('configured.') ? undefined : parent.hash,
    isEndless: names.includes(rootPolicyName) && ttlMs === 0 && parent.expiresAt === undefined,
  };
  const made = await tokens.create(order);
  log.info({ by: parent.who, accessor: made.record.accessor, policies: names }, 'vault token made');
  const warnings = [
    ...made.warnings,
    ...ignoredParameters(read.unknown),
    ...(await unknownPolicies(context.policies, names)),
  ];
  return { ok: true, warnings, auth: authOf(made) } as const;
}

/** A token gives no more than it has. */
function policiesFor(
  values: Values,
  parent: TokenRecord,
  isGiven: boolean,
): string[] | VaultRefusal {
  const asked = get.list(values, 'policies').map((each) => each.toLowerCase());
  const without = get.bool(values, 'no_default_policy');
  const names = isGiven && asked.length > 0 ? asked : [...parent.policies];
  const beyond = names.filter(
    (each) => !parent.policies.includes(each) && each !== defaultPolicyName,
  );
  if (!isRoot(parent) && beyond.length > 0) {
    return badRequest('child policies must be subset of parent');
  }
  if (names.includes(rootPolicyName)) return [rootPolicyName];
  const all = without ? names : [defaultPolicyName, ...names];
  return [...new Set(all)].toSorted();
}

function metaOf(written: unknown): Record<string, string> | undefined {
  const entries = Object.entries(Object(written));
  const isPlain = entries.every(([, each]) =>
    ['string', 'number', 'boolean'].includes(typeof each),
  );
  if (!isPlain || entries.length > 64) return undefined;
  return Object.fromEntries(
    entries.map(([key, each]) => [key.slice(0, 128), String(each).slice(0, 1024)]),
  );
}

function lookUpSelf(context: VaultContext, call: VaultCall) {
  return view(context, mustHave(call), shownBy(call));
}

function view({ clock }: VaultContext, record: TokenRecord, id: string) {
  return { ok: true, data: tokenView(record, id, clock.now()) } as const;
}

function renewSelf(context: VaultContext, call: VaultCall) {
  return renew(context, call, mustHave(call), shownBy(call));
}

async function renew(context: VaultContext, call: VaultCall, record: TokenRecord, token: string) {
  const read = readFields({ ...incrementField, ...tokenField, ...accessorField }, call.body);
  if (!read.ok) return read;
  if (!record.renewable) return badRequest('lease is not renewable');
  const incrementMs = 1000 * get.number(read.values, 'increment');
  const renewed = await context.tokens.renew(record, incrementMs);
  const ms = (renewed.record.expiresAt ?? 0) - context.clock.now();
  const shown = { token, record: { ...renewed.record, ttlMs: Math.max(0, ms) } };
  return { ok: true, warnings: renewed.warnings, auth: authOf(shown) } as const;
}

async function revokeSelf({ tokens }: VaultContext, call: VaultCall) {
  const { token } = call.caller ?? {};
  if (token?.accessor.startsWith('configured.') === true) {
    return badRequest('the token is one of ca.yaml: take it away there');
  }
  if (token !== undefined) await tokens.revoke(token.hash);
  return done;
}

async function revoke({ tokens }: VaultContext, call: VaultCall) {
  const read = readFields(tokenField, call.body);
  if (!read.ok) return read;
  const token = get.text(read.values, 'token');
  if (token === '') return badRequest('missing token ID');
  await tokens.revoke(hashOf(token));
  return done;
}

function listed(keys: readonly string[]) {
  return keys.length === 0 ? missing('there are none') : ({ ok: true, data: { keys } } as const);
}

type WithFound = (
  context: VaultContext,
  call: VaultCall,
  found: TokenRecord,
  id: string,
) => ReturnType<Handler>;

function withToken(then: WithFound): Handler {
  return async function byToken(context, call) {
    const read = readFields(tokenField, call.body);
    if (!read.ok) return read;
    const token = get.text(read.values, 'token');
    if (token === '') return badRequest('missing token ID');
    const found = await context.tokens.find(hashOf(token));
    if (found === undefined) return refusal('ERR_VAULT_DENIED', 403, 'bad token');
    return await then(context, call, found, token);
  };
}

function withAccessor(then: WithFound): Handler {
  return async function byAccessor(context, call) {
    const read = readFields(accessorField, call.body);
    if (!read.ok) return read;
    const accessor = get.text(read.values, 'accessor');
    const found = await context.tokens.findByAccessor(accessor);
    if (found === undefined) return refusal('ERR_VAULT_DENIED', 403, 'invalid accessor');
    return await then(context, call, found, '');
  };
}

function mustHave({ caller }: VaultCall): TokenRecord {
  if (caller !== undefined) return caller.token;
  throw new TypeError('a route that needs a token was asked without');
}

/** Whoever has shown a token may be told it. */
function shownBy({ caller }: VaultCall): string {
  return caller?.secret.reveal() ?? '';
}
