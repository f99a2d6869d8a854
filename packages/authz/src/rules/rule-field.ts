import type { Permission, Principal } from '../envoy/rbac.ts';
import type { RuleFacts } from './rule-facts.ts';

/** What the values of a field may mean depends on. */
export interface RuleContext {
  /** Of the policy. */
  readonly namespace: string;
  /** The mesh's own and its aliases. */
  readonly trustDomains: readonly string[];
}

export type MatchesFacts = (facts: RuleFacts) => boolean;

/**
 * One thing that a rule can name: a row a field. `compile` is what decides, `envoy` the same as Envoy is told; the
 * interop test holds one against the other.
 */
export interface RuleField<Node extends Principal | Permission = Principal | Permission> {
  /** As a policy names it: `source.principals`, `operation.paths`, `when request.headers[x]`. */
  readonly name: string;
  /** Only HTTP has it. On TCP such a field drops an ALLOW rule, and only itself from a rule of another action. */
  readonly isHttpOnly: boolean;
  /** May differ among requests of one connection. */
  readonly isOfRequest: boolean;
  /** Whether one of the values matches. */
  compile(values: readonly string[], context: RuleContext): MatchesFacts;
  /** Undefined where nothing is left of the values. */
  envoy(values: readonly string[], context: RuleContext): Node | undefined;
  /** What there is of it, for explanations; empty where there is nothing. */
  found(facts: RuleFacts): readonly string[];
}

export function orIds(ids: readonly Principal[]): Principal | undefined {
  return ids.length === 0 ? undefined : { orIds: { ids } };
}

export function orRules(rules: readonly Permission[]): Permission | undefined {
  return rules.length === 0 ? undefined : { orRules: { rules } };
}
