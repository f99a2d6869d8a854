import { wrongNetwork } from '../networks.ts';
import { defaultPolicyName, rootPolicyName } from '../policies.ts';
import type { TokenOrder } from '../tokens.ts';
import { type FieldTable, field, get, type Values } from '../vault-fields.ts';
import { badRequest, type VaultRefusal } from '../vault-refusal.ts';

/** What every role of a login says of the tokens that it gives. */
export const tokenFields: FieldTable = {
  token_policies: field.list([], 'Policies of its tokens.'),
  policies: field.list([], 'As "token_policies".'),
  token_ttl: field.duration(0, 'Lifetime of its tokens.'),
  ttl: field.duration(0, 'As "token_ttl".'),
  token_max_ttl: field.duration(0, 'No renewal reaches beyond it.'),
  max_ttl: field.duration(0, 'As "token_max_ttl".'),
  token_explicit_max_ttl: field.duration(0, 'No renewal reaches beyond it, whatever changes.'),
  token_period: field.duration(0, 'Each renewal gives them so long again.'),
  period: field.duration(0, 'As "token_period".'),
  token_num_uses: field.int(0, 'How often they can be used; 0: any number.'),
  token_no_default_policy: field.bool(false, 'Without the policy "default".'),
  token_bound_cidrs: field.list([], 'Networks from which alone they are good.'),
  token_strictly_bind_ip: field.only(
    field.bool(false, 'Good from the address of the login alone.'),
    'write token_bound_cidrs',
  ),
  token_type: field.text('default', '"service" or "default".'),
};

/** What is wrong with them; undefined where nothing is. */
export function wrongWithTokenFields(values: Values): VaultRefusal | undefined {
  const network = wrongNetwork(get.list(values, 'token_bound_cidrs'));
  if (network !== undefined)
    return badRequest(`"token_bound_cidrs": "${network.slice(0, 60)}" is no network`);
  const type = get.text(values, 'token_type');
  if (!['', 'default', 'service', 'default-service'].includes(type)) {
    return badRequest(
      `invalid 'token_type' value: "${type.slice(0, 40)}", only service tokens are made`,
    );
  }
  const policies = [...get.list(values, 'token_policies'), ...get.list(values, 'policies')];
  if (policies.some((each) => each.toLowerCase() === rootPolicyName)) {
    return badRequest('"root" cannot be a policy of a role: nobody logs in to everything');
  }
  const ttl = get.number(values, 'token_ttl');
  const max = get.number(values, 'token_max_ttl');
  return max > 0 && ttl > max
    ? badRequest("'token_ttl' cannot be greater than 'token_max_ttl'")
    : undefined;
}

/** As a role is shown. */
export function tokenFieldView(values: Values): Values {
  return {
    token_bound_cidrs: get.list(values, 'token_bound_cidrs'),
    token_explicit_max_ttl: get.number(values, 'token_explicit_max_ttl'),
    token_max_ttl: get.number(values, 'token_max_ttl') || get.number(values, 'max_ttl'),
    token_no_default_policy: get.bool(values, 'token_no_default_policy'),
    token_num_uses: get.number(values, 'token_num_uses'),
    token_period: get.number(values, 'token_period') || get.number(values, 'period'),
    token_policies: policiesIn(values),
    token_strictly_bind_ip: false,
    token_ttl: get.number(values, 'token_ttl') || get.number(values, 'ttl'),
    token_type: get.text(values, 'token_type') || 'default',
  };
}

/** The token that a login by a role gives: it ends with no other. */
export function orderByRole(
  values: Values,
  about: Pick<TokenOrder, 'displayName' | 'who' | 'meta' | 'path'>,
): TokenOrder {
  const seconds = (name: string) => 1000 * get.number(tokenFieldView(values), name);
  const own = policiesIn(values);
  const isBare = get.bool(values, 'token_no_default_policy');
  return {
    ...about,
    policies: [...new Set(isBare ? own : [defaultPolicyName, ...own])].toSorted(),
    ttlMs: seconds('token_ttl'),
    maxMs: seconds('token_max_ttl'),
    explicitMaxMs: seconds('token_explicit_max_ttl'),
    periodMs: seconds('token_period'),
    renewable: true,
    uses: Math.max(0, get.number(values, 'token_num_uses')),
    boundCidrs: get.list(values, 'token_bound_cidrs'),
    parent: undefined,
  };
}

function policiesIn(values: Values): readonly string[] {
  const written = get.list(values, 'token_policies');
  return (written.length > 0 ? written : get.list(values, 'policies')).map((each) =>
    each.toLowerCase(),
  );
}
