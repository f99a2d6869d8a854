import { readFile } from 'node:fs/promises';
import { CountersignError, messageOf } from '@countersign/base';
import {
  hasKeyFor,
  keysOfJwks,
  keysOfPem,
  readJwt,
  type UnverifiedJwt,
  type VerifyingKey,
  verifyJwt,
} from '@countersign/spiffe';
import { globMatches } from '../../policy/text-glob.ts';
import { done, type VaultCall, type VaultRoute } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { field, get, readFields, type Values } from '../vault-fields.ts';
import type { AuthRecord } from '../vault-objects.ts';
import { badRequest, missing, refusal, type VaultRefusal } from '../vault-refusal.ts';
import { authConfig, authRole, roleRoutesOf } from './auth-roles.ts';
import { logIn, type Proved, wrongCredential } from './log-in.ts';
import { reviewerIn, reviewerView, withReviewerSealed } from './sealed-reviewer.ts';
import { type Account, reviewToken } from './token-review.ts';

const configFields = {
  kubernetes_host: field.text(
    '',
    "The cluster's API, which is asked about tokens; empty: they are verified by keys alone.",
  ),
  kubernetes_ca_cert: field.text('', 'Roots of that API, in PEM.'),
  token_reviewer_jwt: field.text(
    '',
    "Who asks it; this pod's token, or else the caller's own, unless given.",
  ),
  disable_local_ca_jwt: field.bool(false, "Neither this pod's token nor its roots are used."),
  pem_keys: field.list([], "The cluster's keys, in PEM."),
  jwks: field.text('', "The cluster's keys, as a JWKS."),
  jwks_url: field.text('', "Where the cluster's keys are."),
  jwks_ca_pem: field.text('', "Roots of that server, instead of the machine's."),
  issuer: field.text('', 'Who issues the tokens; empty: whoever has the keys.'),
  disable_iss_validation: field.bool(true, 'Whether "issuer" is not looked at.'),
} as const;

const roleFields = {
  bound_service_account_names: field.list([], 'Service accounts; "*" for any.'),
  bound_service_account_namespaces: field.list([], 'Their namespaces; "*" for any.'),
  bound_service_account_namespace_selector: field.only(
    field.text('', 'By labels.'),
    'write the namespaces',
  ),
  audience: field.text('', 'What a token must be for.'),
  alias_name_source: field.only(
    field.text('serviceaccount_uid', 'Of an alias.'),
    'there are no aliases',
  ),
} as const;

const loginFields = {
  role: field.text('', 'The role.'),
  jwt: field.text('', 'The token of a service account.'),
} as const;

/** Below a mount of type `kubernetes`. */
export const kubernetesRoutes: readonly VaultRoute<AuthRecord>[] = [
  {
    path: 'login',
    help: 'A token for that of a service account.',
    fields: loginFields,
    open: ['update'],
    on: { update: login },
  },
  {
    path: 'config',
    help: 'By what tokens of service accounts are verified.',
    fields: configFields,
    on: { read: readConfig, update: writeConfig },
  },
  ...roleRoutesOf({
    path: 'role',
    help: 'Which service accounts may log in.',
    fields: roleFields,
    shown: [
      'alias_name_source',
      'bound_service_account_names',
      'bound_service_account_namespace_selector',
      'bound_service_account_namespaces',
    ],
    shownIfSet: ['audience'],
    wrong(values) {
      const [names, spaces] = [
        'bound_service_account_names',
        'bound_service_account_namespaces',
      ].map((name) => get.list(values, name));
      if (names?.length === 0) return badRequest('"bound_service_account_names" can not be empty');
      if (spaces?.length === 0)
        return badRequest('"bound_service_account_namespaces" can not be empty');
      const isAny = names?.includes('*') === true && spaces?.includes('*') === true;
      return isAny
        ? badRequest('service_account_names and service_account_namespaces can not both be "*"')
        : undefined;
    },
  }),
];

async function readConfig(context: VaultContext, _call: VaultCall, method: AuthRecord) {
  const found = await authConfig(context, method);
  return found === undefined
    ? missing('there is no configuration')
    : ({ ok: true, data: reviewerView(found) } as const);
}

async function writeConfig(
  { authority, store, keySets, log }: VaultContext,
  call: VaultCall,
  method: AuthRecord,
) {
  const read = readFields(configFields, call.body);
  if (!read.ok) return read;
  const { values } = read;
  const hasKeys = hasOwnKeys(values);
  const host = get.text(values, 'kubernetes_host');
  if (host === '' && !hasKeys) return badRequest('no host provided');
  if (
    host !== '' &&
    !hasKeys &&
    get.bool(values, 'disable_local_ca_jwt') &&
    get.text(values, 'kubernetes_ca_cert') === ''
  ) {
    return badRequest('kubernetes_ca_cert must be given when disable_local_ca_jwt is true');
  }
  try {
    if (hasKeys) await configuredKeys(keySets, values, true);
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return refusal('ERR_JWT_KEYS', 400, 'error checking the keys of the cluster', {
      operator: messageOf(thrown),
    });
  }
  const kept = await withReviewerSealed(authority, values);
  if (!kept.ok) return kept;
  await store.put('vault-auth-config', method.uuid, { values: kept.values });
  log.info({ auth: method.path, by: call.caller?.token.who }, 'vault login method configured');
  return done;
}

async function login(context: VaultContext, call: VaultCall, method: AuthRecord) {
  const read = readFields(loginFields, call.body);
  if (!read.ok) return read;
  const name = get.text(read.values, 'role');
  const jwt = get.text(read.values, 'jwt');
  if (name === '') return badRequest('missing role');
  if (jwt === '') return badRequest('missing jwt');
  return await logIn(context, call, method, () => prove(context, method, name, jwt));
}

async function prove(
  context: VaultContext,
  method: AuthRecord,
  name: string,
  jwt: string,
): Promise<Proved | VaultRefusal> {
  const role = await authRole(context, method, name);
  const told = `invalid role name "${name.slice(0, 100)}"`;
  if (role === undefined) return wrongCredential(told, told);
  const config = await authConfig(context, method);
  if (config === undefined) return badRequest('could not load backend configuration');
  const token = readJwt(jwt);
  if (!token.ok) return denied(`role "${name}": ${token.detail}`);

  // 1. Whose it is: by the keys of the cluster, by its word, or by both.
  const audience = get.text(role, 'audience');
  const byKeys = hasOwnKeys(config)
    ? await accountByKeys(context, config, token, audience)
    : undefined;
  if (byKeys !== undefined && 'ok' in byKeys) return byKeys;
  const byWord =
    get.text(config, 'kubernetes_host') === ''
      ? undefined
      : await accountByWord(context, config, jwt, audience);
  if (byWord !== undefined && 'ok' in byWord) return byWord;
  const account = byWord ?? byKeys;
  if (account === undefined) return denied(`role "${name}": nothing verifies the token`);
  if (byKeys !== undefined && byWord !== undefined && byKeys.uid !== byWord.uid) {
    return denied(`role "${name}": the token is of ${byKeys.uid}, the cluster says ${byWord.uid}`);
  }

  // 2. Whether the role is for it.
  const fits = (field: string, value: string) =>
    get.list(role, field).some((each) => globMatches(each, value));
  if (!fits('bound_service_account_namespaces', account.namespace)) {
    return wrongCredential(
      'namespace not authorized',
      `role "${name}" is not for namespace "${account.namespace}"`,
      403,
    );
  }
  if (!fits('bound_service_account_names', account.name)) {
    return wrongCredential(
      'service account name not authorized',
      `role "${name}" is not for service account "${account.name}"`,
      403,
    );
  }
  return {
    ok: true,
    role,
    who: `${account.namespace}/${account.name}`,
    meta: {
      role: name,
      service_account_name: account.name,
      service_account_namespace: account.namespace,
      service_account_secret_name: '',
      service_account_uid: account.uid,
    },
  };
}

async function accountByKeys(
  { keySets, clock }: VaultContext,
  config: Values,
  token: UnverifiedJwt,
  audience: string,
): Promise<Account | VaultRefusal> {
  try {
    let keys = await configuredKeys(keySets, config, false);
    if (!hasKeyFor(token, keys)) keys = await configuredKeys(keySets, config, true);
    const isIssuerAsked = !get.bool(config, 'disable_iss_validation');
    const verified = verifyJwt(token, {
      keys,
      at: clock.now(),
      issuer: isIssuerAsked ? get.text(config, 'issuer') || undefined : undefined,
      audiences: audience === '' ? undefined : [audience],
    });
    if (!verified.ok) return denied(verified.detail);
    return accountIn(verified.jwt.claims) ?? denied('the token is of no service account');
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return refusal('ERR_JWT_KEYS', 503, 'the keys of the cluster cannot be had', {
      operator: messageOf(thrown),
    });
  }
}

async function accountByWord(
  { authority, keySets, log }: VaultContext,
  config: Values,
  jwt: string,
  audience: string,
): Promise<Account | VaultRefusal> {
  const isLocal = !get.bool(config, 'disable_local_ca_jwt');
  const [ownToken, ownRoots] = isLocal
    ? await Promise.all([localFile('token'), localFile('ca.crt')])
    : [undefined, undefined];
  try {
    const reviewed = await reviewToken(keySets.requests, {
      host: get.text(config, 'kubernetes_host'),
      ca: get.text(config, 'kubernetes_ca_cert') || ownRoots,
      reviewer: (await reviewerIn(authority, config)) ?? ownToken ?? jwt,
      jwt,
      audience,
    });
    return reviewed.ok ? reviewed.account : denied(reviewed.detail);
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    log.error({ reason: messageOf(thrown) }, 'the cluster could not be asked about a token');
    return refusal('ERR_JWT_KEYS', 503, 'the cluster cannot be asked now', {
      operator: messageOf(thrown),
    });
  }
}

/** Of the pod that this runs in, where it runs in one. */
function localFile(name: string): Promise<string | undefined> {
  const file = `/var/run/secrets/kubernetes.io/serviceaccount/${name}`;
  return readFile(file, 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
}

function hasOwnKeys(config: Values): boolean {
  return (
    get.list(config, 'pem_keys').length > 0 ||
    get.text(config, 'jwks') !== '' ||
    get.text(config, 'jwks_url') !== ''
  );
}

async function configuredKeys(
  keySets: VaultContext['keySets'],
  config: Values,
  isMissing: boolean,
): Promise<readonly VerifyingKey[]> {
  const url = get.text(config, 'jwks_url');
  const ca = get.text(config, 'jwks_ca_pem') || undefined;
  const jwks = get.text(config, 'jwks');
  return [
    ...keysOfPem(get.list(config, 'pem_keys')),
    ...(jwks === '' ? [] : keysOfJwks(jwks)),
    ...(url === '' ? [] : await keySets.keysOf({ jwksUrl: url, issuer: undefined, ca }, isMissing)),
  ];
}

/** A token that is bound to a pod says it below `kubernetes.io`; an old one beside it. */
function accountIn(claims: Values): Account | undefined {
  const bound = Object(claims['kubernetes.io']) as Values;
  const account = Object(bound.serviceaccount) as Values;
  const old = 'kubernetes.io/serviceaccount';
  const name = account.name ?? claims[`${old}/service-account.name`];
  const namespace = bound.namespace ?? claims[`${old}/namespace`];
  const uid = account.uid ?? claims[`${old}/service-account.uid`];
  if (
    ![name, namespace, uid].every(
      (each) => typeof each === 'string' && /^[A-Za-z0-9.-]{1,253}$/.test(each),
    )
  )
    return undefined;
  if (claims.sub !== `system:serviceaccount:${String(namespace)}:${String(name)}`) return undefined;
  return { name: String(name), namespace: String(namespace), uid: String(uid) };
}

function denied(operator: string): VaultRefusal {
  return wrongCredential('permission denied', operator, 403);
}
