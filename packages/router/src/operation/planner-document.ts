import {
  type DocumentNode,
  type FieldNode,
  type GraphQLSchema,
  isAbstractType,
  Kind,
  type OperationDefinitionNode,
  print,
  type SelectionNode,
  type SelectionSetNode,
  TypeInfo,
  visit,
  visitWithTypeInfo,
} from 'graphql';
import type { PlannerAliases } from './planner-alias.ts';

const typenameOnly: SelectionNode = {
  kind: Kind.FIELD,
  name: { kind: Kind.NAME, value: '__typename' },
};

export interface PlannerWishes {
  /** What is not to be fetched. */
  readonly isDropped: (typeName: string, field: FieldNode) => boolean;
  /** Whether every value of an interface or union has to say its type, for rules go by it. */
  readonly asksTypes: boolean;
  readonly aliases: PlannerAliases;
}

/**
 * What the planner is to plan of a document: without introspection, without the root's `__typename`, which is known, and
 * without what is dropped.
 *
 * @returns undefined where nothing is left to fetch
 */
export function plannerDocument(
  document: DocumentNode,
  operation: OperationDefinitionNode,
  schema: GraphQLSchema,
  { isDropped, asksTypes, aliases }: PlannerWishes,
): string | undefined {
  const typeInfo = new TypeInfo(schema);
  let isRootEmpty = false;
  const kept = visit(
    document,
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
          const isNamed = asksTypes && isAbstractType(typeInfo.getParentType());
          if (node.selections.length > 0 && !isNamed) return undefined;
          return { ...node, selections: [...node.selections, typenameOnly] };
        },
      },
      OperationDefinition: {
        leave(node) {
          if (node.name?.value !== operation.name?.value) return undefined;
          const selections = node.selectionSet.selections.filter(isNoTypename);
          isRootEmpty = selections.length === 0;
          if (isRootEmpty) return undefined;
          return { ...node, selectionSet: { ...node.selectionSet, selections } };
        },
      },
    }),
  );
  return isRootEmpty ? undefined : print(kept);
}

/** Whether {@link plannerDocument} changes nothing, as for most documents. */
export function isPlannerDocument(document: DocumentNode, aliases: PlannerAliases): boolean {
  let isChanged = false;
  visit(document, {
    OperationDefinition(node) {
      if (!node.selectionSet.selections.every(isNoTypename)) isChanged = true;
    },
    Field(node) {
      if (aliases.isRenamed(node)) isChanged = true;
      if (node.name.value === '__schema' || node.name.value === '__type') isChanged = true;
    },
  });
  return !isChanged;
}

/** The introspection of a document as one of its own, or undefined where it has none. */
export function introspectionDocument(
  document: DocumentNode,
  operation: OperationDefinitionNode,
  fragments: ReadonlyMap<string, SelectionSetOwner>,
): DocumentNode | undefined {
  const selections = rootIntrospection(operation.selectionSet, fragments);
  if (selections.length === 0) return undefined;
  const selectionSet: SelectionSetNode = { kind: Kind.SELECTION_SET, selections };
  const others = document.definitions.filter(({ kind }) => kind === Kind.FRAGMENT_DEFINITION);
  return { ...document, definitions: [{ ...operation, selectionSet }, ...others] };
}

interface SelectionSetOwner {
  readonly selectionSet: SelectionSetNode;
}

function rootIntrospection(
  { selections }: SelectionSetNode,
  fragments: ReadonlyMap<string, SelectionSetOwner>,
): SelectionNode[] {
  return selections.flatMap((selection): SelectionNode[] => {
    if (selection.kind === Kind.FIELD) {
      const { value } = selection.name;
      return value === '__schema' || value === '__type' ? [selection] : [];
    }
    const owner =
      selection.kind === Kind.INLINE_FRAGMENT ? selection : fragments.get(selection.name.value);
    const inner = owner === undefined ? [] : rootIntrospection(owner.selectionSet, fragments);
    if (inner.length === 0) return [];
    const { directives } = selection;
    return [
      {
        kind: Kind.INLINE_FRAGMENT,
        ...(directives !== undefined && { directives }),
        selectionSet: { kind: Kind.SELECTION_SET, selections: inner },
      },
    ];
  });
}

function isNoTypename(selection: SelectionNode): boolean {
  return selection.kind !== Kind.FIELD || selection.name.value !== '__typename';
}
