import { CountersignError } from '@countersign/base';
import type { Position } from '@countersign/config';
import type {
  AuthorizationPolicy,
  AuthorizationRule,
  RuleOperation,
} from './authorization-policy.ts';
import { compilePaths, type PathMatcher } from './path-pattern.ts';
import type { PathReadings } from './request-path.ts';
import { compileTexts, type TextMatcher } from './text-pattern.ts';

/** Policies, compiled once for all questions. Immutable: a change of policies is a new set. */
export interface RuleSet {
  /** All rules of DENY policies; asked first. */
  readonly denies: readonly CompiledRule[];
  /** All rules of ALLOW policies. */
  readonly allows: readonly CompiledRule[];
  /** Namespace and name of each ALLOW policy, also of those without rules. Empty: every verified peer may. */
  readonly allowPolicies: readonly string[];
}

export interface CompiledRule {
  /** `namespace/name` of its policy. */
  readonly policy: string;
  /** From 0, as in `spec.rules[0]`. */
  readonly index: number;
  readonly action: 'ALLOW' | 'DENY';
  readonly file: string;
  readonly position: Position;
  /** As it was written, for explanations. */
  readonly written: AuthorizationRule;
  readonly sources: readonly CompiledSource[] | undefined;
  readonly operations: readonly CompiledOperation[] | undefined;
}

export interface CompiledSource {
  readonly principals: TextMatcher;
}

export interface CompiledOperation {
  readonly methods: TextMatcher | undefined;
  readonly paths: PathMatcher | undefined;
}

/** What rules look at, taken from a question once. */
export interface RuleFacts {
  /** Whether the peer is verified, by whatever name. */
  readonly isVerified: boolean;
  /** Its SPIFFE ID without the scheme. */
  readonly principal: string | undefined;
  /** Undefined: no request yet, the question is about the connection. */
  readonly request: { readonly method: string; readonly path: PathReadings } | undefined;
}

/**
 * Compiles policies of any number of files. All of them apply.
 *
 * @throws CountersignError ERR_AUTHZ_TWICE for two with the same namespace and name
 */
export function compileRules(policies: readonly AuthorizationPolicy[]): RuleSet {
  checkNamesDiffer(policies);
  const rules = policies.flatMap(compilePolicy);
  return {
    denies: rules.filter((rule) => rule.action === 'DENY'),
    allows: rules.filter((rule) => rule.action === 'ALLOW'),
    allowPolicies: policies.filter((policy) => policy.action === 'ALLOW').map(nameOf),
  };
}

/** The set of these policies; of none, as in Istio, it permits every verified peer (and no anonymous one). */
export function ruleSetOf(...policies: readonly AuthorizationPolicy[]): RuleSet {
  return compileRules(policies);
}

/**
 * Whether a rule applies. With no request yet an ALLOW rule applies if it could for some request, and a DENY rule if
 * it does for every one: each request on the connection is asked about again.
 */
export function ruleApplies(rule: CompiledRule, facts: RuleFacts): boolean {
  if (rule.sources?.some((source) => sourceApplies(source, facts)) === false) return false;
  if (rule.operations === undefined) return true;
  if (facts.request === undefined) return rule.action === 'ALLOW';
  return rule.operations.some((operation) => operationApplies(operation, rule.action, facts));
}

/** A lone star stands for any verified peer, also one without a SPIFFE ID; every other pattern for a SPIFFE ID. */
export function sourceApplies(source: CompiledSource, facts: RuleFacts): boolean {
  if (!facts.isVerified) return false;
  if (source.principals.hasPresent) return true;
  return facts.principal !== undefined && source.principals.matches(facts.principal);
}

export function methodApplies(operation: CompiledOperation, method: string): boolean {
  return operation.methods === undefined || operation.methods.matches(method);
}

export function pathApplies(
  operation: CompiledOperation,
  action: CompiledRule['action'],
  path: PathReadings,
): boolean {
  if (operation.paths === undefined) return true;
  return action === 'DENY' ? operation.paths.mayMean(path) : operation.paths.surelyMeans(path);
}

function operationApplies(
  operation: CompiledOperation,
  action: CompiledRule['action'],
  facts: RuleFacts,
): boolean {
  const { request } = facts;
  return (
    request !== undefined &&
    methodApplies(operation, request.method) &&
    pathApplies(operation, action, request.path)
  );
}

function compilePolicy(policy: AuthorizationPolicy): CompiledRule[] {
  return policy.rules.map((rule, index) => ({
    policy: nameOf(policy),
    index,
    action: policy.action,
    file: policy.file,
    position: rule.position,
    written: rule,
    sources: rule.from?.map((source) => ({ principals: compileTexts(source.principals) })),
    operations: rule.to?.map(compileOperation),
  }));
}

function compileOperation(operation: RuleOperation): CompiledOperation {
  const { methods, paths } = operation;
  return {
    methods: methods === undefined ? undefined : compileTexts(methods),
    paths: paths === undefined ? undefined : compilePaths(paths),
  };
}

function nameOf(policy: AuthorizationPolicy): string {
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
