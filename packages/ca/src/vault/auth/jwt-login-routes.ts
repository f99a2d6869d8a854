import { CountersignError, type Denial, messageOf } from '@countersign/base';
import {
  hasKeyFor,
  type JwtClaims,
  keysOfPem,
  readJwt,
  type UnverifiedJwt,
  type VerifyingKey,
  verifyJwt,
} from '@countersign/spiffe';
import type { KeySetPlace } from '../../bearer/key-sets.ts';
import { globMatches } from '../../policy/text-glob.ts';
import { done, type VaultCall, type VaultRoute } from '../vault-call.ts';
import type { VaultContext } from '../vault-context.ts';
import { field, get, readFields, type Values } from '../vault-fields.ts';
import type { AuthRecord } from '../vault-objects.ts';
import { badRequest, missing, refusal, type VaultRefusal } from '../vault-refusal.ts';
import { authConfig, authRole, roleRoutesOf } from './auth-roles.ts';
import { logIn, type Proved, wrongCredential } from './log-in.ts';

const noBrowser = 'logins by a browser are not done, callers bring their tokens (role_type "jwt")';
const configFields = {
  oidc_discovery_url: field.text('', 'The issuer, by whose discovery document its keys are found.'),
  oidc_discovery_ca_pem: field.text('', "Roots of the issuer's server, instead of the machine's."),
  jwks_url: field.text('', 'Where its keys are.'),
  jwks_ca_pem: field.text('', "Roots of that server, instead of the machine's."),
  jwt_validation_pubkeys: field.list([], 'Its keys, in PEM.'),
  bound_issuer: field.text('', 'Who issues the tokens.'),
  default_role: field.text('', 'The role of those who name none.'),
  jwt_supported_algs: field.list(
    [],
    'Algorithms that are taken; those of RSA and EC keys unless given.',
  ),
  oidc_client_id: field.only(field.text('', 'Of a browser login.'), noBrowser),
  oidc_client_secret: field.only(field.text('', 'Of a browser login.'), noBrowser),
  oidc_response_mode: field.only(field.text('', 'Of a browser login.'), noBrowser),
  oidc_response_types: field.only(field.list([], 'Of a browser login.'), noBrowser),
  provider_config: field.only(field.map('Of one provider.'), 'claims are read as they are'),
  namespace_in_state: field.bool(true, 'Of a browser login.'),
} as const;

const roleFields = {
  role_type: field.text('jwt', '"jwt".'),
  bound_audiences: field.list([], 'One of them must be in the token.'),
  bound_subject: field.text('', 'The subject.'),
  bound_claims: field.map('Claims and what they must be: a value, or a list of which one.'),
  bound_claims_type: field.text('string', '"string", or "glob" for "*" in them.'),
  user_claim: field.text('', 'The claim that says who it is.'),
  user_claim_json_pointer: field.only(field.bool(false, 'A path to it.'), 'a claim is named'),
  claim_mappings: field.map('Claims that are shown with the token, by the names that they get.'),
  groups_claim: field.only(
    field.text('', 'The claim that says which groups.'),
    'there are no groups',
  ),
  clock_skew_leeway: field.duration(0, 'How far clocks may differ; 60 s unless given.'),
  expiration_leeway: field.duration(
    0,
    'How long after its end a token is taken; 0: the skew of clocks.',
  ),
  not_before_leeway: field.duration(0, 'How long before its beginning; 0: the skew of clocks.'),
  allowed_redirect_uris: field.only(field.list([], 'Of a browser login.'), noBrowser),
  oidc_scopes: field.only(field.list([], 'Of a browser login.'), noBrowser),
  verbose_oidc_logging: field.only(
    field.bool(false, 'Claims in the log.'),
    'the log says which check failed',
  ),
  max_age: field.only(field.duration(0, 'Of a browser login.'), noBrowser),
} as const;

const loginFields = {
  role: field.text('', 'The role.'),
  jwt: field.text('', 'The token.'),
} as const;

/** Below a mount of type `jwt` or `oidc`. */
export const jwtLoginRoutes: readonly VaultRoute<AuthRecord>[] = [
  {
    path: 'login',
    help: 'A token for a JWT of another issuer.',
    fields: loginFields,
    open: ['update'],
    on: { update: login },
  },
  {
    path: 'config',
    help: 'Whose tokens are taken.',
    fields: configFields,
    on: { read: readConfig, update: writeConfig },
  },
  ...['oidc/auth_url', 'oidc/callback'].map(
    (path): VaultRoute<AuthRecord> => ({
      path,
      help: 'Logins by a browser.',
      open: ['update', 'read'],
      on: { update: () => badRequest(noBrowser), read: () => badRequest(noBrowser) },
    }),
  ),
  ...roleRoutesOf({
    path: 'role',
    help: 'Which tokens of the issuer are taken, and what for.',
    fields: roleFields,
    shown: [
      'role_type',
      'bound_audiences',
      'bound_subject',
      'bound_claims',
      'bound_claims_type',
      'user_claim',
      'claim_mappings',
      'clock_skew_leeway',
      'expiration_leeway',
      'not_before_leeway',
      'groups_claim',
    ],
    wrong: wrongWithRole,
  }),
];

function wrongWithRole(values: Values): VaultRefusal | undefined {
  if (get.text(values, 'role_type') !== 'jwt') return badRequest(noBrowser);
  if (get.text(values, 'user_claim') === '')
    return badRequest('a user claim must be defined on the role');
  if (!['string', 'glob'].includes(get.text(values, 'bound_claims_type'))) {
    return badRequest(
      `invalid 'bound_claims_type': ${get.text(values, 'bound_claims_type').slice(0, 40)}`,
    );
  }
  const isBound =
    get.list(values, 'bound_audiences').length > 0 ||
    get.text(values, 'bound_subject') !== '' ||
    get.list(values, 'token_bound_cidrs').length > 0 ||
    Object.keys(Object(values.bound_claims)).length > 0;
  return isBound
    ? undefined
    : badRequest('must have at least one bound constraint when creating/updating a role');
}

async function readConfig(context: VaultContext, _call: VaultCall, method: AuthRecord) {
  const found = await authConfig(context, method);
  if (found === undefined) return missing('there is no configuration');
  const { oidc_client_secret: _, ...open } = found;
  return { ok: true, data: { ...open, status: 'valid' } } as const;
}

async function writeConfig(context: VaultContext, call: VaultCall, method: AuthRecord) {
  const { store, keySets, log } = context;
  const read = readFields(configFields, call.body);
  if (!read.ok) return read;
  const { values } = read;
  const [url, issuer] = [get.text(values, 'jwks_url'), get.text(values, 'oidc_discovery_url')];
  const pems = get.list(values, 'jwt_validation_pubkeys');
  const ways = [url !== '', issuer !== '', pems.length > 0].filter(Boolean).length;
  if (ways !== 1) {
    return badRequest(
      "exactly one of 'jwt_validation_pubkeys', 'jwks_url' or 'oidc_discovery_url' must be set",
    );
  }
  // New state is proved before it replaces old.
  try {
    if (pems.length > 0) keysOfPem(pems);
    else await keySets.keysOf(placeOf(values), true);
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    const told =
      issuer !== ''
        ? 'error checking oidc discovery URL'
        : url !== ''
          ? 'error checking jwks URL'
          : 'error parsing public key';
    return refusal('ERR_JWT_KEYS', 400, told, { operator: messageOf(thrown) });
  }
  await store.put('vault-auth-config', method.uuid, { values });
  log.info({ auth: method.path, by: call.caller?.token.who }, 'vault login method configured');
  return done;
}

async function login(context: VaultContext, call: VaultCall, method: AuthRecord) {
  const read = readFields(loginFields, call.body);
  if (!read.ok) return read;
  const config = await authConfig(context, method);
  if (config === undefined) return badRequest('could not load configuration');
  const name = get.text(read.values, 'role') || get.text(config, 'default_role');
  if (name === '') return badRequest('missing role');
  const jwt = get.text(read.values, 'jwt');
  return await logIn(context, call, method, () => prove(context, method, { config, name, jwt }));
}

async function prove(
  context: VaultContext,
  method: AuthRecord,
  { config, name, jwt }: { readonly config: Values; readonly name: string; readonly jwt: string },
): Promise<Proved | VaultRefusal> {
  const role = await authRole(context, method, name);
  if (role === undefined)
    return wrongCredential(
      `role "${name.slice(0, 100)}" could not be found`,
      `no role "${name.slice(0, 100)}"`,
    );
  if (jwt === '') return badRequest('missing token');
  const no = (refused: Denial) =>
    wrongCredential(
      `error validating token: ${toldOf(refused)}`,
      `role "${name}": ${refused.detail}`,
    );

  // 1. Signed by the issuer, now, for us.
  const token = readJwt(jwt);
  if (!token.ok) return no(token);
  const allowed = get.list(config, 'jwt_supported_algs');
  if (allowed.length > 0 && !allowed.includes(token.algorithm.name)) {
    return wrongCredential(
      'error validating token: signed with an algorithm that is not supported',
      `role "${name}": "${token.algorithm.name}" is not in jwt_supported_algs`,
    );
  }
  const keys = await keysFor(context, config, token);
  if (!Array.isArray(keys)) return keys as VaultRefusal;
  const skewMs = 1000 * get.number(role, 'clock_skew_leeway');
  const leeway = (field: string) => 1000 * get.number(role, field) || skewMs || undefined;
  const audiences = get.list(role, 'bound_audiences');
  const verified = verifyJwt(token, {
    keys,
    at: context.clock.now(),
    issuer: get.text(config, 'bound_issuer') || get.text(config, 'oidc_discovery_url') || undefined,
    // A token for somebody is not taken by a role that says nothing of it.
    audiences,
    expiryLeewayMs: leeway('expiration_leeway'),
    beginLeewayMs: leeway('not_before_leeway'),
  });
  if (!verified.ok) return no(verified);

  // 2. Of whom the role is for.
  const { claims } = verified.jwt;
  const wrong = wrongWithClaims(claims, role);
  if (wrong !== undefined)
    return wrongCredential(`error validating claims: ${wrong}`, `role "${name}": ${wrong}`);
  const user = claims[get.text(role, 'user_claim')];
  if (typeof user !== 'string' || user === '' || user.length > 512) {
    return wrongCredential(
      `claim "${get.text(role, 'user_claim')}" not found in token`,
      `role "${name}": no user claim`,
    );
  }
  const mapped = Object.entries(Object(role.claim_mappings)).flatMap(
    ([claim, title]): [string, string][] => {
      const value = claims[claim];
      return typeof value === 'string' ? [[String(title).slice(0, 128), value.slice(0, 1024)]] : [];
    },
  );
  return { ok: true, role, who: user, meta: { ...Object.fromEntries(mapped), role: name } };
}

/** Once more where a token names a key that is not among those that were asked for before. */
async function keysFor(
  { keySets }: VaultContext,
  config: Values,
  token: UnverifiedJwt,
): Promise<readonly VerifyingKey[] | VaultRefusal> {
  const pems = get.list(config, 'jwt_validation_pubkeys');
  try {
    if (pems.length > 0) return keysOfPem(pems);
    const place = placeOf(config);
    const keys = await keySets.keysOf(place);
    return hasKeyFor(token, keys) ? keys : await keySets.keysOf(place, true);
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    const told = 'error validating token: keys of the issuer cannot be had';
    return refusal('ERR_JWT_KEYS', 503, told, { operator: messageOf(thrown) });
  }
}

function placeOf(config: Values): KeySetPlace {
  const [url, issuer] = [get.text(config, 'jwks_url'), get.text(config, 'oidc_discovery_url')];
  const ca = get.text(config, url === '' ? 'oidc_discovery_ca_pem' : 'jwks_ca_pem');
  return { jwksUrl: url || undefined, issuer: issuer || undefined, ca: ca || undefined };
}

/** What is wrong, without the values of the token. */
function wrongWithClaims(claims: JwtClaims, role: Values): string | undefined {
  const subject = get.text(role, 'bound_subject');
  if (subject !== '' && claims.sub !== subject) return 'sub claim does not match bound subject';
  const isGlob = get.text(role, 'bound_claims_type') === 'glob';
  for (const [claim, wanted] of Object.entries(Object(role.bound_claims))) {
    const found = [claims[claim] ?? []].flat().map(String);
    const allowed = [wanted].flat().map(String);
    const fits = found.some((value) =>
      allowed.some((each) => (isGlob ? globMatches(each, value) : each === value)),
    );
    if (!fits)
      return `claim "${claim.slice(0, 100)}" does not match any associated bound claim values`;
  }
  return undefined;
}

const told: Readonly<Record<string, string>> = {
  ERR_JWT_FORM: 'it cannot be read, or lacks a claim',
  ERR_JWT_ALGORITHM: 'signed with an algorithm that is not supported',
  ERR_JWT_KEY:
    'error verifying token signature: no known key successfully validated the token signature',
  ERR_JWT_SIGNATURE:
    'error verifying token signature: no known key successfully validated the token signature',
  ERR_JWT_EXPIRED: 'token is expired',
  ERR_JWT_NOT_YET_VALID: 'token not yet valid',
  ERR_JWT_AUDIENCE:
    'invalid audience (aud) claim: audience claim does not match any bound audience',
};

function toldOf({ code }: Denial): string {
  return told[code] ?? 'it is not taken';
}
