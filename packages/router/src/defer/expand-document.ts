import {
  type DirectiveNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type InlineFragmentNode,
  Kind,
  type OperationDefinitionNode,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import type { Variables } from '../execute/project-data.ts';

/** An operation without named fragments, in which each `@defer` that is left holds. */
export interface ExpandedOperation {
  readonly operation: OperationDefinitionNode;
  /** Part in which a field is delivered, 0 being the first; each node stands in one place. */
  readonly partOf: ReadonlyMap<FieldNode, number>;
  /** The part of each `@defer`. */
  readonly partOfDefer: ReadonlyMap<DirectiveNode, number>;
  /** By part: the one that it is deferred within; of the first itself. */
  readonly parents: readonly number[];
}

/** The variables by which an operation's fragments are deferred or not. */
export function deferConditions(
  operation: OperationDefinitionNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
): { readonly isDeferred: boolean; readonly variables: readonly string[] } {
  const variables = new Set<string>();
  const seen = new Set<string>();
  let isDeferred = false;
  look(operation.selectionSet);
  return { isDeferred, variables: [...variables] };

  function look({ selections }: SelectionSetNode): void {
    for (const selection of selections) {
      const { value } = conditionOf(deferOf(selection)) ?? {};
      if (typeof value === 'string') variables.add(value);
      isDeferred ||= value !== undefined && value !== false;
      if (selection.kind !== Kind.FRAGMENT_SPREAD) {
        if (selection.selectionSet !== undefined) look(selection.selectionSet);
        continue;
      }
      const fragment = fragments.get(selection.name.value);
      if (fragment === undefined || seen.has(selection.name.value)) continue;
      seen.add(selection.name.value);
      look(fragment.selectionSet);
    }
  }
}

/** Writes every fragment where it is spread; a `@defer` whose condition does not hold is left out. */
export function expandOperation(
  operation: OperationDefinitionNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  variables: Variables,
): ExpandedOperation {
  const partOf = new Map<FieldNode, number>();
  const partOfDefer = new Map<DirectiveNode, number>();
  const parents = [0];
  const selectionSet = expand(operation.selectionSet, 0);
  return { operation: { ...operation, selectionSet }, partOf, partOfDefer, parents };

  function expand(set: SelectionSetNode, part: number): SelectionSetNode {
    return { ...set, selections: set.selections.map((each) => expandSelection(each, part)) };
  }

  function expandSelection(selection: SelectionNode, part: number): SelectionNode {
    if (selection.kind === Kind.FIELD) {
      const { selectionSet: below } = selection;
      const field: FieldNode = below
        ? { ...selection, selectionSet: expand(below, part) }
        : { ...selection };
      partOf.set(field, part);
      return field;
    }
    const isSpread = selection.kind === Kind.FRAGMENT_SPREAD;
    const fragment = isSpread ? fragments.get(selection.name.value) : selection;
    if (fragment === undefined) throw new TypeError('a fragment of a valid document');
    const defer = deferOf(selection);
    const isHeld = defer !== undefined && holds(defer, variables);
    const others = (selection.directives ?? []).filter((each) => each !== defer);
    // A node of its own, for a fragment that is spread twice is two parts.
    const own = isHeld ? { ...defer } : undefined;
    let inner = part;
    if (own !== undefined) {
      inner = parents.push(part) - 1;
      partOfDefer.set(own, inner);
    }
    const { typeCondition } = fragment;
    return {
      kind: Kind.INLINE_FRAGMENT,
      ...(typeCondition !== undefined && { typeCondition }),
      directives: own === undefined ? others : [...others, own],
      selectionSet: expand(fragment.selectionSet, inner),
    } satisfies InlineFragmentNode;
  }
}

export function deferOf({ directives }: SelectionNode): DirectiveNode | undefined {
  return directives?.find(({ name }) => name.value === 'defer');
}

function holds(defer: DirectiveNode, variables: Variables): boolean {
  const value = conditionOf(defer)?.value;
  return typeof value === 'string' ? variables[value] === true : value !== false;
}

/** `if` of a defer: the name of a variable, or whether it holds. */
function conditionOf(
  defer: DirectiveNode | undefined,
): { readonly value: string | boolean } | undefined {
  if (defer === undefined) return undefined;
  const value = defer.arguments?.find(({ name }) => name.value === 'if')?.value;
  if (value?.kind === Kind.VARIABLE) return { value: value.name.value };
  return { value: value?.kind === Kind.BOOLEAN ? value.value : true };
}
