import {
  type FragmentDefinitionNode,
  type GraphQLNamedType,
  type GraphQLSchema,
  getNamedType,
  isInterfaceType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import type { Variables } from '../execute/project-data.ts';
import { holds } from '../execute/project-data.ts';
import type { AccessRule } from '../supergraph/access-rules.ts';
import type { AccessRules } from './access.ts';
import { conditionsOf } from './projection.ts';

/**
 * The rules that an operation meets with these values of its variables: what they skip meets none, nor do the other
 * operations of its document.
 */
export function rulesMet(
  operation: OperationDefinitionNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  variables: Variables,
  { schema, access }: { readonly schema: GraphQLSchema; readonly access: AccessRules },
): ReadonlySet<AccessRule> {
  const met = new Set<AccessRule>();
  const spread = new Set<string>();
  const walk = (set: SelectionSetNode, type: GraphQLNamedType): void => {
    for (const selection of set.selections) {
      const conditions = conditionsOf(selection);
      if (conditions === undefined || !holds(conditions, variables)) continue;
      if (selection.kind === Kind.FIELD) {
        for (const rule of access.reachable(type.name, selection)) met.add(rule);
        const fields = isObjectType(type) || isInterfaceType(type) ? type.getFields() : {};
        const given = fields[selection.name.value]?.type;
        if (given === undefined || selection.selectionSet === undefined) continue;
        walk(selection.selectionSet, getNamedType(given));
        continue;
      }
      if (selection.kind === Kind.FRAGMENT_SPREAD) {
        // What it meets is the same wherever it is spread.
        if (spread.has(selection.name.value)) continue;
        spread.add(selection.name.value);
      }
      const fragment =
        selection.kind === Kind.FRAGMENT_SPREAD ? fragments.get(selection.name.value) : selection;
      const condition = fragment?.typeCondition?.name.value;
      const on = condition === undefined ? type : schema.getType(condition);
      if (fragment !== undefined && on !== undefined) walk(fragment.selectionSet, on);
    }
  };
  const root = schema.getRootType(operation.operation);
  if (root !== undefined && root !== null) walk(operation.selectionSet, root);
  return met;
}
