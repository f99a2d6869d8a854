import type { Denial } from '@countersign/base';
import {
  type FragmentDefinitionNode,
  type GraphQLNamedType,
  type GraphQLSchema,
  getNamedType,
  isListType,
  isNonNullType,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import type { RouterLimits } from '../config/router-config.ts';
import { beyond } from './document-limits.ts';

/** What a selection asks for, fragments expanded. */
interface Weight {
  readonly depth: number;
  /** Of its own level. */
  readonly roots: number;
  readonly fields: number;
  readonly aliases: number;
  readonly cost: number;
}

const nothing: Weight = { depth: 0, roots: 0, fields: 0, aliases: 0, cost: 0 };
/** A list is taken to have this many items. */
const listFactor = 10;

/**
 * Fields of one name in one selection, each with its arguments: comparing them all with each other is what validation
 * would do.
 */
const maxRepeated = 100;

/**
 * Refuses an operation whose fragments make much of little. Each fragment is weighed once, so that the work is that of
 * the document as written, whatever it expands to. Cycles are left to validation.
 */
export function judgeSelections(
  operation: OperationDefinitionNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  schema: GraphQLSchema,
  limits: RouterLimits,
): Denial | undefined {
  const root = schema.getRootType(operation.operation);
  const known = new Map<string, Weight>();
  let repeated = 0;
  const total = weigh(operation.selectionSet, root ?? undefined);
  if (repeated > maxRepeated) return beyond('selections of one field', repeated, maxRepeated);
  if (total.roots > limits.max_root_fields) {
    return beyond('root fields', total.roots, limits.max_root_fields);
  }
  if (total.depth > limits.max_depth) return beyond('levels', total.depth, limits.max_depth);
  if (total.aliases > limits.max_aliases)
    return beyond('aliases', total.aliases, limits.max_aliases);
  if (total.fields > limits.max_fields) return beyond('fields', total.fields, limits.max_fields);
  if (total.cost > limits.max_cost) return beyond('units of cost', total.cost, limits.max_cost);
  return undefined;

  function weigh(set: SelectionSetNode, type: GraphQLNamedType | undefined): Weight {
    if (set.selections.length > 1) repeated = Math.max(repeated, mostRepeated(set));
    return set.selections.reduce<Weight>((sum, selection) => {
      if (selection.kind === Kind.FIELD) return plus(sum, weighField(selection, type));
      if (selection.kind === Kind.INLINE_FRAGMENT) {
        const condition = selection.typeCondition?.name.value;
        const inner = condition === undefined ? type : schema.getType(condition);
        return plus(sum, weigh(selection.selectionSet, inner));
      }
      const name = selection.name.value;
      const fragment = fragments.get(name);
      if (fragment === undefined) return sum;
      let found = known.get(name);
      if (found === undefined) {
        known.set(name, nothing);
        const { typeCondition, selectionSet } = fragment;
        found = weigh(selectionSet, schema.getType(typeCondition.name.value));
        known.set(name, found);
      }
      return plus(sum, found);
    }, nothing);
  }

  function weighField(
    field: Extract<SelectionSetNode['selections'][number], { kind: 'Field' }>,
    type: GraphQLNamedType | undefined,
  ): Weight {
    const definition =
      type !== undefined && 'getFields' in type ? type.getFields()[field.name.value] : undefined;
    const below =
      field.selectionSet === undefined
        ? nothing
        : weigh(field.selectionSet, definition && getNamedType(definition.type));
    const outer = definition?.type;
    const isList = isListType(isNonNullType(outer) ? outer.ofType : outer);
    return {
      depth: below.depth + 1,
      roots: 1,
      fields: below.fields + 1,
      aliases: below.aliases + (field.alias === undefined ? 0 : 1),
      cost: 1 + below.cost * (isList ? listFactor : 1),
    };
  }
}

function mostRepeated({ selections }: SelectionSetNode): number {
  const counts = new Map<string, { fields: number; weight: number }>();
  for (const selection of selections) {
    if (selection.kind !== Kind.FIELD) continue;
    const key = selection.alias?.value ?? selection.name.value;
    const weight = 1 + (selection.arguments?.length ?? 0);
    counts.set(key, {
      fields: (counts.get(key)?.fields ?? 0) + 1,
      weight: (counts.get(key)?.weight ?? 0) + weight,
    });
  }
  // One that stands alone is compared with nothing.
  const several = [...counts.values()].filter(({ fields }) => fields > 1);
  return Math.max(0, ...several.map(({ weight }) => weight));
}

function plus(a: Weight, b: Weight): Weight {
  return {
    depth: Math.max(a.depth, b.depth),
    roots: a.roots + b.roots,
    fields: a.fields + b.fields,
    aliases: a.aliases + b.aliases,
    cost: a.cost + b.cost,
  };
}
