export { checkKeySet } from './claims/open-tokens.ts';
export type { Environment } from './config/environment.ts';
export {
  expectedIds,
  parseRouterConfig,
  type RouterConfig,
  type RouterLimits,
  routerJsonSchema,
  type SubgraphConfig,
} from './config/router-config.ts';
export {
  type ExplainedStep,
  type ExplainQuestion,
  explainOperation,
  formatOperationExplanation,
  type OperationExplanation,
} from './explain-operation.ts';
export { checkSupergraph, type ReadFiles } from './offline-engine.ts';
export { type Router, type RouterOptions, type RouterStatus, startRouter } from './start-router.ts';
export { watchSupergraph } from './watch-supergraph.ts';
