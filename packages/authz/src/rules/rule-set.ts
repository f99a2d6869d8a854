import { CountersignError } from '@countersign/base';
import type { Position } from '@countersign/config';
import type { AuthorizationPolicy, PolicyAction } from '../policy/authorization-policy.ts';
import { defaultMesh, type MeshSettings } from '../policy/mesh-settings.ts';
import { isFor, type Workload } from '../policy/policy-target.ts';
import { type Clause, type DroppedField, type RuleClauses, readClauses } from './rule-clauses.ts';
import type { RuleFacts } from './rule-facts.ts';

/** Policies, compiled once for all questions. Immutable: a change of policies is a new set. */
export interface RuleSet {
  /** For requests, and for connections that will carry them. */
  readonly http: ActionRules;
  /** For connections whose bytes nobody reads: see {@link RuleOptions}. */
  readonly tcp: ActionRules;
  readonly mesh: MeshSettings;
  readonly paths: PathJudging;
}

/**
 * `every-reading`: a request is permitted where it would be in whatever way a server may read its path, so that no
 * spelling slips past a DENY or into an ALLOW. `as-istio`: as Envoy normalises it, and no further.
 */
export type PathJudging = 'every-reading' | 'as-istio';

/** The rules by what they do, in the order in which they are asked. */
export interface ActionRules {
  /** Whose provider has to be asked; first. */
  readonly customs: readonly CompiledRule[];
  readonly audits: readonly CompiledRule[];
  readonly denies: readonly CompiledRule[];
  readonly allows: readonly CompiledRule[];
  /** Namespace and name of each ALLOW policy, also of those without rules. Empty: everybody may. */
  readonly allowPolicies: readonly string[];
  /** What would be enforced without `istio.io/dry-run`. */
  readonly dryRun: Pick<ActionRules, 'denies' | 'allows' | 'allowPolicies'>;
  /** Rules that cannot be told of this protocol, and fields that were left out of others. */
  readonly dropped: readonly DroppedRule[];
}

export interface CompiledRule extends RuleClauses {
  /** `namespace/name` of its policy. */
  readonly policy: string;
  /** From 0, as in `spec.rules[0]`. */
  readonly index: number;
  readonly action: PolicyAction;
  readonly file: string;
  readonly position: Position;
  /** Of a CUSTOM rule. */
  readonly provider: string | undefined;
}

export interface DroppedRule {
  readonly rule: Pick<CompiledRule, 'policy' | 'index' | 'action' | 'file' | 'position'>;
  /** The whole rule is gone, not only these fields. */
  readonly isWhole: boolean;
  readonly fields: readonly DroppedField[];
}

export interface RuleOptions {
  /** Istio's defaults where absent. */
  readonly mesh?: MeshSettings;
  /**
   * Whose policies these are: those that select another are left out, as Istio does it. Absent: all policies that
   * select none apply, whatever their namespace, and one that selects is refused.
   */
  readonly workload?: Workload;
  /** `every-reading` unless given: stricter than Istio for paths that servers read in different ways. */
  readonly paths?: PathJudging;
}

/**
 * Compiles policies of any number of files.
 *
 * @throws CountersignError ERR_AUTHZ_TWICE for two with the same namespace and name; ERR_AUTHZ_WORKLOAD where a policy
 *   selects workloads and it was not said which this is
 */
export function compileRules(
  policies: readonly AuthorizationPolicy[],
  options: RuleOptions = {},
): RuleSet {
  checkNamesDiffer(policies);
  const { mesh = defaultMesh, workload, paths = 'every-reading' } = options;
  const selected = policies.filter((policy) => applies(policy, mesh, workload));
  return {
    http: compileFor('http', selected, mesh),
    tcp: compileFor('tcp', selected, mesh),
    mesh,
    paths,
  };
}

/** The set of these policies; of none, as in Istio, it permits everybody. */
export function ruleSetOf(...policies: readonly AuthorizationPolicy[]): RuleSet {
  return compileRules(policies);
}

/**
 * Whether a rule applies. Where the question is about a connection that has no request yet, what only requests have
 * counts as `unasked` says: an ALLOW rule applies if it could for some request, any other if it does for every one.
 * Each request on the connection is asked about again.
 */
export function ruleApplies(rule: CompiledRule, facts: RuleFacts, isUnasked: boolean): boolean {
  const unasked = isUnasked ? rule.action === 'ALLOW' : undefined;
  return (
    all(rule.operationConditions, facts, unasked) &&
    some(rule.operations, facts, unasked) &&
    all(rule.sourceConditions, facts, unasked) &&
    some(rule.sources, facts, unasked)
  );
}

export function clauseHolds(
  clause: Clause,
  facts: RuleFacts,
  unasked: boolean | undefined,
): boolean {
  return unasked !== undefined && clause.field.isOfRequest ? unasked : clause.holds(facts);
}

function some(
  alternatives: readonly (readonly Clause[])[],
  facts: RuleFacts,
  unasked: boolean | undefined,
): boolean {
  for (const clauses of alternatives) if (all(clauses, facts, unasked)) return true;
  return false;
}

function all(clauses: readonly Clause[], facts: RuleFacts, unasked: boolean | undefined): boolean {
  for (const clause of clauses) if (!clauseHolds(clause, facts, unasked)) return false;
  return true;
}

function applies(
  policy: AuthorizationPolicy,
  mesh: MeshSettings,
  workload: Workload | undefined,
): boolean {
  const { target, namespace } = policy;
  if (workload !== undefined) return isFor(target, namespace, workload, mesh.rootNamespace);
  if (target.labels === undefined && target.refs.length === 0) return true;
  throw new CountersignError(
    'ERR_AUTHZ_WORKLOAD',
    `${policy.file}: policy ${nameOf(policy)} selects workloads, and which this is was not said`,
    { fields: { policy: nameOf(policy), file: policy.file } },
  );
}

function compileFor(
  protocol: 'http' | 'tcp',
  policies: readonly AuthorizationPolicy[],
  mesh: MeshSettings,
): ActionRules {
  const dropped: DroppedRule[] = [];
  const rulesOf = (action: PolicyAction, isDryRun = false): CompiledRule[] =>
    policies
      .filter((policy) => policy.action === action && policy.isDryRun === isDryRun)
      .filter((policy) => protocol === 'http' || !asksHttpAlone(policy, mesh))
      .flatMap((policy) => compilePolicy(policy, protocol, mesh, dropped));
  const allowPoliciesOf = (isDryRun: boolean) =>
    policies
      .filter((policy) => policy.action === 'ALLOW' && policy.isDryRun === isDryRun)
      .map(nameOf);
  return {
    customs: rulesOf('CUSTOM'),
    audits: rulesOf('AUDIT'),
    denies: rulesOf('DENY'),
    allows: rulesOf('ALLOW'),
    allowPolicies: allowPoliciesOf(false),
    dryRun: {
      denies: rulesOf('DENY', true),
      allows: rulesOf('ALLOW', true),
      allowPolicies: allowPoliciesOf(true),
    },
    dropped,
  };
}

/** A provider that speaks HTTP is not asked about raw connections; one that nobody knows cannot be asked at all. */
function asksHttpAlone(policy: AuthorizationPolicy, mesh: MeshSettings): boolean {
  return policy.action === 'CUSTOM' && mesh.providers.get(policy.provider ?? '') === 'http';
}

function compilePolicy(
  policy: AuthorizationPolicy,
  protocol: 'http' | 'tcp',
  mesh: MeshSettings,
  dropped: DroppedRule[],
): CompiledRule[] {
  const { action, file, provider } = policy;
  const trustDomains = [mesh.trustDomain, ...mesh.trustDomainAliases];
  return policy.rules.flatMap((rule, index) => {
    const about = { policy: nameOf(policy), index, action, file, position: rule.position };
    const reading = readClauses(rule, {
      isAllow: action === 'ALLOW',
      protocol,
      context: { namespace: policy.namespace, trustDomains },
    });
    if (reading.dropped.length > 0) {
      dropped.push({ rule: about, isWhole: !reading.ok, fields: reading.dropped });
    }
    return reading.ok ? [{ ...about, provider, ...reading.clauses }] : [];
  });
}

export function nameOf(policy: Pick<AuthorizationPolicy, 'namespace' | 'name'>): string {
  return `${policy.namespace}/${policy.name}`;
}

function checkNamesDiffer(policies: readonly AuthorizationPolicy[]): void {
  const files = new Map<string, string>();
  for (const policy of policies) {
    const name = nameOf(policy);
    const file = files.get(name);
    if (file !== undefined) {
      throw new CountersignError(
        'ERR_AUTHZ_TWICE',
        `two authorization policies "${name}", in ${file} and ${policy.file}`,
        { fields: { policy: name, files: [file, policy.file] } },
      );
    }
    files.set(name, policy.file);
  }
}
