export {
  type AnonymousPeer,
  type AuthzConnection,
  type AuthzQuestion,
  type AuthzRequest,
  allowUnknownRevocation,
  authorize,
  observe,
  Permit,
} from './authorize.ts';
export { type EnvoyOptions, envoyFilters, type RbacFilter } from './envoy/envoy-filters.ts';
export { type Explanation, explain, formatExplanation, formatRules } from './explain.ts';
export type { ClauseExplanation, RuleExplanation } from './explain-rule.ts';
export {
  askExternal,
  type ExternalAuthorizer,
  providersFor,
} from './external/ask-external.ts';
export {
  type ExternalAnswer,
  type ExternalAnswers,
  type ExternalChanges,
  type ExternalHeaders,
  type ExternalResponse,
  hasObservers,
  type Judgement,
  type Observation,
} from './judge.ts';
export {
  type AuthorizationPolicy,
  type AuthorizationRule,
  parseAuthorizationPolicies,
} from './policy/authorization-policy.ts';
export {
  type IstioPolicies,
  joinPolicies,
  parseIstioPolicies,
  policyKinds,
  readIstioPolicies,
} from './policy/istio-policies.ts';
export {
  defaultMesh,
  type MeshSettings,
  meshSchema,
  meshSettingsOf,
  type PathNormalization,
  parseMeshSettings,
} from './policy/mesh-settings.ts';
export {
  type MtlsAnswer,
  type MtlsMode,
  mtlsOf,
  type PeerAuthentication,
} from './policy/peer-authentication.ts';
export type { PolicyTarget, Workload } from './policy/policy-target.ts';
export {
  type RequestAuthentication,
  type TokenRule,
  tokenRulesFor,
  tokenRulesOf,
} from './policy/request-authentication.ts';
export { remoteAddress } from './request/client-address.ts';
export { normalizePath } from './request/normalize-path.ts';
export { type IdentityFacts, parseRoleMapping, type RoleMapping } from './roles/role-mapping.ts';
export {
  type CompiledRule,
  compileRules,
  type RuleOptions,
  type RuleSet,
  ruleSetOf,
} from './rules/rule-set.ts';
export {
  compileTokenRules,
  type JudgedTokens,
  judgeTokens,
  type TokenKeys,
  type TokenRequest,
  type TokenRules,
} from './tokens/judge-tokens.ts';
export {
  parseAuthzTable,
  parseWorkloads,
  type TableRequest,
  type TableRow,
  type TableWorkload,
} from './trial/authz-table.ts';
export { type RowResult, TableTrial } from './trial/try-table.ts';
export type { PolicyWarning } from './warn/policy-warning.ts';
export { warnAboutPolicies } from './warn/warn-about-policies.ts';
