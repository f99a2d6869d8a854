import type { AuthorizationPolicy, PolicyAction } from '../policy/authorization-policy.ts';
import { defaultMesh, type MeshSettings } from '../policy/mesh-settings.ts';
import { isFor, type Workload } from '../policy/policy-target.ts';
import { type Clause, type RuleClauses, readClauses } from '../rules/rule-clauses.ts';
import type { Permission, Principal, Rbac, RbacPolicy } from './rbac.ts';

/** An RBAC filter as Envoy is told of it, for either kind of filter. */
export interface RbacFilter {
  readonly rules?: Rbac;
  readonly shadowRules?: Rbac;
  readonly shadowRulesStatPrefix?: string;
}

export interface EnvoyOptions {
  readonly protocol: 'http' | 'tcp';
  readonly workload: Workload;
  readonly mesh?: MeshSettings;
}

/**
 * The filters that Istio gives Envoy for these policies, in its order: AUDIT, DENY, ALLOW. CUSTOM is no matter of RBAC
 * alone, and not among them.
 */
export function envoyFilters(
  policies: readonly AuthorizationPolicy[],
  options: EnvoyOptions,
): RbacFilter[] {
  const { workload, mesh = defaultMesh } = options;
  const selected = policies.filter(({ target, namespace }) =>
    isFor(target, namespace, workload, mesh.rootNamespace),
  );
  const actions = ['AUDIT', 'DENY', 'ALLOW'] as const;
  return actions.flatMap((action) => {
    const ofAction = selected.filter((policy) => policy.action === action);
    return ofAction.length === 0 ? [] : [filterOf(action, ofAction, options)];
  });
}

const actionNames = { AUDIT: 'LOG', DENY: 'DENY', CUSTOM: 'DENY', ALLOW: undefined } as const;
const shadowPrefixes: Partial<Record<PolicyAction, string>> = {
  ALLOW: 'istio_dry_run_allow_',
  DENY: 'istio_dry_run_deny_',
};

function filterOf(
  action: PolicyAction,
  policies: readonly AuthorizationPolicy[],
  options: EnvoyOptions,
): RbacFilter {
  const rbacOf = (isDryRun: boolean): Rbac | undefined => {
    const chosen = policies.filter((policy) => policy.isDryRun === isDryRun);
    if (chosen.length === 0) return undefined;
    const named = chosen.flatMap((policy) => namedPolicies(policy, options));
    const name = actionNames[action];
    return {
      ...(name !== undefined && { action: name }),
      ...(named.length > 0 && { policies: Object.fromEntries(named) }),
    };
  };
  const [rules, shadowRules] = [rbacOf(false), rbacOf(true)];
  // Istio asks for the prefix of rules that are not there, which is that of ALLOW.
  const prefix = shadowRules === undefined ? shadowPrefixes.ALLOW : shadowPrefixes[action];
  return {
    ...(rules !== undefined && { rules }),
    ...(shadowRules !== undefined && { shadowRules }),
    ...(prefix !== undefined && { shadowRulesStatPrefix: prefix }),
  };
}

function namedPolicies(
  policy: AuthorizationPolicy,
  { protocol, mesh = defaultMesh }: EnvoyOptions,
): [string, RbacPolicy][] {
  const named = (index: number) => `ns[${policy.namespace}]-policy[${policy.name}]-rule[${index}]`;
  if (policy.rules.length === 0) return [[named(0), never]];
  const trustDomains = [mesh.trustDomain, ...mesh.trustDomainAliases].filter((td) => td !== '');
  return policy.rules.flatMap((rule, index): [string, RbacPolicy][] => {
    const reading = readClauses(rule, {
      isAllow: policy.action === 'ALLOW',
      protocol,
      context: { namespace: policy.namespace, trustDomains },
    });
    return reading.ok ? [[named(index), policyOf(reading.clauses)]] : [];
  });
}

const never: RbacPolicy = {
  permissions: [{ notRule: { any: true } }],
  principals: [{ notId: { any: true } }],
};

/** Istio tells conditions with every alternative. */
function policyOf(clauses: RuleClauses): RbacPolicy {
  return {
    permissions: clauses.operations.map((alternative) => {
      const all = [...alternative, ...clauses.operationConditions].map(permissionOf);
      return { andRules: { rules: all.length === 0 ? [{ any: true }] : all } };
    }),
    principals: clauses.sources.map((alternative) => {
      const all = [...alternative, ...clauses.sourceConditions].map(principalOf);
      return { andIds: { ids: all.length === 0 ? [{ any: true }] : all } };
    }),
  };
}

function permissionOf({ node, isNegated }: Clause<Permission>): Permission {
  return isNegated ? { notRule: node } : node;
}

function principalOf({ node, isNegated }: Clause<Principal>): Principal {
  return isNegated ? { notId: node } : node;
}
