import { CountersignError, type Log } from '@countersign/base';
import type * as native from '@graphql-hive/router-query-planner';
import type {
  EntityNeeds,
  FetchPlan,
  PathStep,
  Plan,
  Required,
  Rewrite,
  SubgraphOperation,
} from './plan.ts';
import { PlannerProcess } from './planner-process.ts';
import type { Rollout } from './progressive-override.ts';

export interface QueryPlanner {
  /** SDL of what callers may see. */
  readonly publicSdl: string;
  /**
   * Elsewhere than on this thread. The document must be valid for {@link publicSdl}, without introspection.
   *
   * @returns undefined where nothing is to be fetched
   * @throws CountersignError ERR_ROUTER_PLANNER
   */
  plan(
    query: string,
    operationName: string | undefined,
    rollout: Rollout,
  ): Promise<Plan | undefined>;
  /** Labels and percentages of fields that move between subgraphs bit by bit. */
  readonly overrides: {
    readonly labels: readonly string[];
    readonly percentages: readonly number[];
  };
  /** Ends once nothing is being planned. */
  retire(): void;
}

/**
 * The planner of a supergraph, in a process of its own. The only file that knows what its plans look like.
 *
 * @throws CountersignError ERR_ROUTER_PLANNER
 */
export async function openQueryPlanner(supergraphSdl: string, log: Log): Promise<QueryPlanner> {
  const planner = new PlannerProcess(supergraphSdl, log);
  const { publicSdl, labels, percentages } = await planner.start();
  return {
    publicSdl,
    overrides: { labels, percentages },
    async plan(query, name, { labels: active, percentage }) {
      const operationName = name ?? null;
      const node = await planner.plan({ query, operationName, labels: [...active], percentage });
      return node === null ? undefined : planOf(node);
    },
    retire: () => planner.retire(),
  };
}

function planOf(node: native.PlanNode): Plan {
  switch (node.kind) {
    case 'Fetch':
      return fetchOf(node);
    case 'BatchFetch':
      return batchOf(node);
    case 'Sequence':
    case 'Parallel':
      return {
        kind: node.kind === 'Sequence' ? 'sequence' : 'parallel',
        nodes: node.nodes.map(planOf),
      };
    case 'Flatten':
      return flattenOf(node);
    case 'Condition':
      return {
        kind: 'condition',
        variable: node.condition,
        whenTrue: node.ifClause ? planOf(node.ifClause) : undefined,
        whenFalse: node.elseClause ? planOf(node.elseClause) : undefined,
      };
    case 'Subscription':
      return { kind: 'subscription', primary: fetchOf(node.primary) };
    default:
      throw new CountersignError('ERR_ROUTER_PLANNER', `a plan with an unknown "${node.kind}"`);
  }
}

function fetchOf(node: native.FetchNode): FetchPlan {
  return { kind: 'fetch', ...operationOf(node), outputRewrites: rewritesOf(node.outputRewrites) };
}

function flattenOf(node: native.FlattenNode): Plan {
  if (node.node.kind !== 'Fetch') {
    throw new CountersignError('ERR_ROUTER_PLANNER', `a plan that flattens a "${node.node.kind}"`);
  }
  const fetch = { ...operationOf(node.node), ...needsOf(node.node) };
  return { kind: 'flatten', path: node.path.map(stepOf), fetch };
}

function batchOf(node: native.BatchFetchNode): Plan {
  return {
    kind: 'batch',
    ...operationOf(node),
    aliases: node.entityBatch.aliases.map((each) => ({
      alias: each.alias,
      variable: each.representationsVariableName,
      paths: each.paths.map((path) => path.map(stepOf)),
      ...needsOf(each),
    })),
  };
}

function operationOf(node: native.FetchNode | native.BatchFetchNode): SubgraphOperation {
  const name = node.operationName;
  const named = name ? `"operationName":${JSON.stringify(name)},` : '';
  return {
    subgraph: node.serviceName,
    operationKind: node.operationKind ?? 'query',
    operation: node.operation,
    variables: node.variableUsages ?? [],
    bodyPrefix: `{${named}"query":${JSON.stringify(node.operation)}`,
  };
}

function needsOf(node: {
  requires?: native.RequiresSelection[];
  inputRewrites?: native.InputRewrite[];
  outputRewrites?: native.OutputRewrite[];
}): EntityNeeds {
  return {
    requires: (node.requires ?? []).map(requiredOf),
    inputRewrites: rewritesOf(node.inputRewrites),
    outputRewrites: rewritesOf(node.outputRewrites),
  };
}

function requiredOf(selection: native.RequiresSelection): Required {
  if (selection.kind === 'Field') {
    const { name, alias, selections } = selection;
    return { kind: 'field', name, key: alias ?? name, selections: selections?.map(requiredOf) };
  }
  if (selection.kind === 'InlineFragment') {
    const { typeCondition, selections } = selection;
    return { kind: 'type', name: typeCondition, selections: selections.map(requiredOf) };
  }
  throw new CountersignError('ERR_ROUTER_PLANNER', 'a plan that requires a fragment by its name');
}

function stepOf(segment: native.FlattenNodePathSegment): PathStep {
  if (segment === '@') return { kind: 'list' };
  if ('Field' in segment) return { kind: 'field', name: segment.Field };
  return { kind: 'type', names: segment.TypeCondition };
}

function rewritesOf(rewrites: native.FetchRewrite[] | undefined): Rewrite[] {
  return (rewrites ?? []).map((rewrite) => {
    if ('KeyRenamer' in rewrite) {
      const { path, renameKeyTo } = rewrite.KeyRenamer;
      return { kind: 'rename', path: path.map(rewriteStepOf), to: renameKeyTo };
    }
    const { path, setValueTo } = 'ValueSetter' in rewrite ? rewrite.ValueSetter : rewrite;
    return { kind: 'set', path: path.map(rewriteStepOf), value: setValueTo };
  });
}

function rewriteStepOf(segment: native.FetchNodePathSegment): Rewrite['path'][number] {
  if ('Key' in segment) return { kind: 'key', name: segment.Key };
  return { kind: 'type', names: [segment.TypenameEquals].flat() };
}
