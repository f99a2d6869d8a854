import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLSchema,
  isAbstractType,
  Kind,
  type OperationDefinitionNode,
  parse,
  print,
  type SelectionNode,
  type SelectionSetNode,
  TypeInfo,
  visit,
  visitWithTypeInfo,
} from 'graphql';
import type { Variables } from '../execute/project-data.ts';
import type { PlannerAliases } from '../operation/planner-alias.ts';
import type { Plan } from '../plan/plan.ts';
import type { Rollout } from '../plan/progressive-override.ts';
import type { QueryPlanner } from '../plan/query-planner.ts';
import { type ExpandedOperation, expandOperation } from './expand-document.ts';
import { heldField, heldSubgraph } from './held-supergraph.ts';
import {
  type Patch,
  type Place,
  selectionsOfPart,
  setOf,
  splitDeferred,
  typename,
} from './split-deferred.ts';

/** An operation that is answered in parts. */
export interface DeferredOperation {
  /** With every fragment written out; each of its `@defer` holds. */
  readonly document: DocumentNode;
  /** Part in which a field is delivered. */
  readonly partOf: ReadonlyMap<FieldNode, number>;
  readonly parents: readonly number[];
  /** Of the first part. */
  readonly plan: Plan | undefined;
  readonly patches: readonly PlannedPatch[];
}

export interface PlannedPatch {
  readonly part: number;
  readonly place: Place;
  readonly typeName: string;
  /** Undefined: the root is fetched. */
  readonly held: HeldKeys | undefined;
  readonly plan: Plan | undefined;
  /** Response keys that it adds to its objects. */
  readonly keys: readonly string[];
}

/** What of an entity at hand its later fetches need: fields under the names that the first fetch asked for them by. */
export interface HeldKeys {
  readonly field: string;
  readonly names: readonly { readonly name: string; readonly alias: string }[];
}

export interface DeferSurroundings {
  readonly schema: GraphQLSchema;
  readonly planner: QueryPlanner;
  readonly entities: ReadonlySet<string>;
  readonly isDropped: (typeName: string, field: FieldNode) => boolean;
  readonly rollout: Rollout;
  readonly aliases: PlannerAliases;
}

const keyPrefix = '_countersign_key_';

/**
 * Plans an operation in parts: the first is an operation like any other, and what is deferred on entities is one that
 * begins with their keys, which the first asks for under names of its own. Where that does not work out, everything is
 * fetched with the first part, and delivered in parts all the same.
 *
 * @throws CountersignError ERR_ROUTER_PLANNER
 */
export async function planDeferred(
  operation: OperationDefinitionNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  variables: Variables,
  around: DeferSurroundings,
): Promise<DeferredOperation> {
  const expanded = expandOperation(operation, fragments, variables);
  const fetched = withoutDropped(expanded.operation, around);
  const { partOf, parents } = expanded;
  const document: DocumentNode = { kind: Kind.DOCUMENT, definitions: [expanded.operation] };
  const found = (await planParts(fetched, expanded, around)) ?? (await planAtOnce(fetched, around));
  return { document, partOf, parents, ...found };
}

type Planned = Pick<DeferredOperation, 'plan' | 'patches'>;

async function planAtOnce(
  operation: OperationDefinitionNode,
  around: DeferSurroundings,
): Promise<Planned> {
  const all = new Map<FieldNode, number>();
  visit(operation, { Field: (node) => void all.set(node, 0) });
  const selections = selectionsOfPart(operation.selectionSet.selections, 0, all, new Map());
  return { plan: await planOf(operation, selections, around), patches: [] };
}

/** Undefined: the planner would not have it so. */
async function planParts(
  operation: OperationDefinitionNode,
  expanded: ExpandedOperation,
  around: DeferSurroundings,
): Promise<Planned | undefined> {
  if (usesPrefix(operation)) return undefined;
  const { schema, entities } = around;
  const { patches, fetchedIn } = splitDeferred(operation, expanded, schema, entities);
  const extra = new Map<FieldNode, readonly SelectionNode[]>();
  const planned: PlannedPatch[] = [];
  // Later parts first: what they need has to be asked for by those before.
  for (const patch of [...patches].sort((a, b) => b.part - a.part)) {
    const selections = selectionsOfPart(patch.selections, patch.part, fetchedIn, extra);
    const one =
      patch.provider === undefined
        ? await planRoot(operation, patch, selections, around)
        : await planEntities(operation, patch, selections, around, extra);
    if (one === undefined) return undefined;
    planned.push(one);
  }
  const first = selectionsOfPart(operation.selectionSet.selections, 0, fetchedIn, extra);
  return { plan: await planOf(operation, first, around), patches: planned };
}

async function planRoot(
  operation: OperationDefinitionNode,
  { part, place, typeName }: Patch,
  selections: readonly SelectionNode[],
  around: DeferSurroundings,
): Promise<PlannedPatch> {
  const plan = await planOf(operation, selections, around);
  return { part, place, typeName, held: undefined, plan, keys: [] };
}

async function planEntities(
  operation: OperationDefinitionNode,
  { part, place, typeName, provider }: Patch,
  selections: readonly SelectionNode[],
  around: DeferSurroundings,
  extra: Map<FieldNode, readonly SelectionNode[]>,
): Promise<PlannedPatch | undefined> {
  const field = heldField(typeName);
  const root = fieldOf(field, undefined, setOf([typename, ...selections]));
  const query = { ...operation, operation: 'query' as OperationDefinitionNode['operation'] };
  const whole = await planOf(query, [root], around);
  const { needed, rest } = afterHeld(whole) ?? {};
  if (needed === undefined || provider === undefined) return undefined;
  const names: { readonly name: string; readonly alias: string }[] = [];
  const asked: SelectionNode[] = [typename];
  for (const selection of needed.selections) {
    // Keys are plain fields; an alias would be the planner's own, for a conflict that is none here.
    if (selection.kind !== Kind.FIELD || selection.alias !== undefined) return undefined;
    const name = selection.name.value;
    if (name === '__typename') continue;
    const alias = `${keyPrefix}${name}`;
    names.push({ name, alias });
    asked.push(fieldOf(name, alias, selection.selectionSet));
  }
  const onType: SelectionNode = {
    kind: Kind.INLINE_FRAGMENT,
    typeCondition: { kind: Kind.NAMED_TYPE, name: { kind: Kind.NAME, value: typeName } },
    selectionSet: setOf(asked),
  };
  extra.set(provider, [...(extra.get(provider) ?? []), onType]);
  const keys = [...new Set(keysIn(selections))];
  return { part, place, typeName, held: { field, names }, plan: rest, keys };
}

/** The fetch of what is at hand, and what comes after it. Undefined: it is not what the plan begins with. */
function afterHeld(
  plan: Plan | undefined,
): { readonly needed: SelectionSetNode; readonly rest: Plan | undefined } | undefined {
  const nodes = plan?.kind === 'sequence' ? plan.nodes : plan === undefined ? [] : [plan];
  const [first, ...others] = nodes;
  if (first?.kind !== 'fetch' || first.subgraph !== heldSubgraph) return undefined;
  if (first.outputRewrites.length > 0 || others.some(asksHeld)) return undefined;
  const [definition] = parse(first.operation, { noLocation: true }).definitions;
  if (definition?.kind !== Kind.OPERATION_DEFINITION) return undefined;
  const [root] = definition.selectionSet.selections;
  if (root?.kind !== Kind.FIELD || root.selectionSet === undefined) return undefined;
  return {
    needed: root.selectionSet,
    rest: others.length === 0 ? undefined : { kind: 'sequence', nodes: others },
  };
}

function asksHeld(plan: Plan): boolean {
  switch (plan.kind) {
    case 'sequence':
    case 'parallel':
      return plan.nodes.some(asksHeld);
    case 'condition':
      return [plan.whenTrue, plan.whenFalse].some((each) => each !== undefined && asksHeld(each));
    case 'flatten':
      return plan.fetch.subgraph === heldSubgraph;
    case 'subscription':
      return true;
    default:
      return plan.subgraph === heldSubgraph;
  }
}

async function planOf(
  operation: OperationDefinitionNode,
  selections: readonly SelectionNode[],
  { planner, rollout }: DeferSurroundings,
): Promise<Plan | undefined> {
  // The root's __typename is known.
  const fetched = selections.filter(
    (each) => each.kind !== Kind.FIELD || each.name.value !== '__typename',
  );
  if (fetched.length === 0) return undefined;
  const used = new Set<string>();
  const selectionSet = setOf(fetched);
  visit(selectionSet, { Variable: ({ name }) => void used.add(name.value) });
  const variableDefinitions = (operation.variableDefinitions ?? []).filter(({ variable }) =>
    used.has(variable.name.value),
  );
  const text = print({ ...operation, directives: [], variableDefinitions, selectionSet });
  return await planner.plan(text, operation.name?.value, rollout);
}

/** What is to be fetched at all, every object of an abstract type saying which it is. */
function withoutDropped(
  operation: OperationDefinitionNode,
  { schema, isDropped, aliases }: DeferSurroundings,
): OperationDefinitionNode {
  const typeInfo = new TypeInfo(schema);
  return visit(
    operation,
    visitWithTypeInfo(typeInfo, {
      Field: {
        enter(node) {
          const parent = typeInfo.getParentType();
          const name = node.name.value;
          if (name === '__schema' || name === '__type') return null;
          return parent !== undefined && parent !== null && isDropped(parent.name, node)
            ? null
            : undefined;
        },
        leave: (node) => aliases.rename(node),
      },
      SelectionSet: {
        leave(node: SelectionSetNode) {
          const isNamed = isAbstractType(typeInfo.getParentType());
          if (node.selections.length > 0 && !isNamed) return undefined;
          return { ...node, selections: [...node.selections, typename] };
        },
      },
    }),
  );
}

function usesPrefix(operation: OperationDefinitionNode): boolean {
  let isUsed = false;
  visit(operation, {
    Field({ alias, name }) {
      if ((alias ?? name).value.startsWith(keyPrefix)) isUsed = true;
    },
  });
  return isUsed;
}

function keysIn(selections: readonly SelectionNode[]): string[] {
  return selections.flatMap((each) => {
    if (each.kind === Kind.FIELD) return [(each.alias ?? each.name).value];
    return each.kind === Kind.INLINE_FRAGMENT ? keysIn(each.selectionSet.selections) : [];
  });
}

function fieldOf(
  name: string,
  alias: string | undefined,
  selectionSet: SelectionSetNode | undefined,
): FieldNode {
  return {
    kind: Kind.FIELD,
    name: { kind: Kind.NAME, value: name },
    ...(alias !== undefined && { alias: { kind: Kind.NAME, value: alias } }),
    ...(selectionSet !== undefined && { selectionSet }),
  };
}
