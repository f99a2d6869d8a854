export {
  type AuthorizationPolicy,
  type AuthorizationRule,
  parseAuthorizationPolicies,
  type RuleOperation,
  type RuleSource,
} from './authorization-policy.ts';
export {
  type AnonymousPeer,
  type AuthzQuestion,
  type AuthzRequest,
  allowUnknownRevocation,
  authorize,
  Permit,
} from './authorize.ts';
export { type Explanation, explain, formatExplanation } from './explain.ts';
export type { ClauseExplanation, RuleExplanation } from './explain-rule.ts';
export { type PathReadings, readPath } from './request-path.ts';
export { type CompiledRule, compileRules, type RuleSet, ruleSetOf } from './rule-set.ts';
