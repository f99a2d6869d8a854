import {
  type DirectiveNode,
  type FieldNode,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isCompositeType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import { deferOf, type ExpandedOperation } from './expand-document.ts';

/** Where objects stand: response keys from the root, each on objects of one type. */
export type Place = readonly { readonly on: string; readonly key: string }[];

/** What a later part fetches more of: objects of one type at one place. */
export interface Patch {
  readonly part: number;
  readonly place: Place;
  readonly typeName: string;
  /** Field of an earlier part that gives these objects, which has to ask for their key, too. Undefined: the root. */
  readonly provider: FieldNode | undefined;
  readonly selections: readonly SelectionNode[];
}

export interface Split {
  readonly patches: readonly Patch[];
  /** Part in which a field is fetched; at the latest that in which it is delivered. */
  readonly fetchedIn: ReadonlyMap<FieldNode, number>;
}

interface Entry {
  readonly set: SelectionSetNode;
  readonly part: number;
  /** Part whose fetches bring this selection's own fields along. */
  readonly within: number | undefined;
  readonly field: FieldNode | undefined;
  readonly isConditional: boolean;
}

interface Item {
  readonly field: FieldNode;
  readonly entry: Entry;
  readonly conditions: readonly DirectiveNode[];
}

interface Hoist {
  readonly field: FieldNode;
  readonly to: number;
}

/** Places looked at; beyond that everything is fetched at once, and still delivered in parts. */
const maxVisits = 3000;

/**
 * Which fields are fetched later: those that a later part alone wants, of objects that can be asked for again by their
 * key, or of the root of a query. What stands elsewhere comes along with what it stands in.
 *
 * @param operation of {@link ExpandedOperation}, without what is refused
 */
export function splitDeferred(
  operation: OperationDefinitionNode,
  { partOf, partOfDefer, parents }: ExpandedOperation,
  schema: GraphQLSchema,
  entities: ReadonlySet<string>,
): Split {
  const fetchedIn = new Map<FieldNode, number>();
  const chainOf = new Map<FieldNode, readonly FieldNode[]>();
  note(operation.selectionSet, 0, []);
  // Each round moves fields to earlier parts, so that it ends.
  for (;;) {
    const { patches, hoists } = walkAll();
    if (hoists.length === 0) return { patches, fetchedIn };
    for (const { field, to } of hoists) {
      fetchedIn.set(field, to);
      if (to === 0) for (const each of chainOf.get(field) ?? []) fetchedIn.set(each, 0);
    }
  }

  function note(set: SelectionSetNode, part: number, chain: readonly FieldNode[]): void {
    for (const selection of set.selections) {
      if (selection.kind === Kind.FIELD) {
        fetchedIn.set(selection, partOf.get(selection) ?? part);
        chainOf.set(selection, chain);
        if (selection.selectionSet !== undefined) {
          note(selection.selectionSet, part, [...chain, selection]);
        }
      } else if (selection.kind === Kind.INLINE_FRAGMENT) {
        note(selection.selectionSet, partAt(selection, part), chain);
      }
    }
  }

  function partAt(selection: SelectionNode, part: number): number {
    const defer = deferOf(selection);
    return (defer === undefined ? undefined : partOfDefer.get(defer)) ?? part;
  }

  function walkAll() {
    const patches = new Map<string, Patch>();
    const hoists: Hoist[] = [];
    let visits = 0;
    const root = schema.getRootType(operation.operation)?.name ?? 'Query';
    visit([], root, [
      {
        ...{ set: operation.selectionSet, part: 0, within: 0 },
        ...{ field: undefined, isConditional: false },
      },
    ]);
    if (visits > maxVisits) {
      hoists.splice(0);
      for (const [field, part] of fetchedIn) if (part !== 0) hoists.push({ field, to: 0 });
      return { patches: [], hoists };
    }
    return { patches: [...patches.values()], hoists };

    function visit(place: Place, typeName: string, entries: readonly Entry[]): void {
      visits += 1;
      if (visits > maxVisits) return;
      const byKey = new Map<string, Item[]>();
      for (const entry of entries) gather(entry, typeName, byKey);
      for (const [key, items] of byKey) {
        for (const item of items) settle(place, typeName, item, items, entries);
        descend(place, typeName, key, items);
      }
    }

    /** Decides where one field is fetched. */
    function settle(
      place: Place,
      typeName: string,
      item: Item,
      all: readonly Item[],
      entries: readonly Entry[],
    ): void {
      const part = fetchedIn.get(item.field) ?? 0;
      if (part === item.entry.within || isCovered(item, all)) return;
      if (isContested(item, all)) {
        hoists.push({ field: item.field, to: item.entry.within ?? 0 });
        return;
      }
      const provider =
        item.entry.within === undefined
          ? entries.find((each) => each.within !== undefined && isBefore(each.within, part))
          : item.entry;
      const isRoot = place.length === 0 && operation.operation === 'query';
      if (provider === undefined || !(isRoot || entities.has(typeName))) {
        hoists.push({ field: item.field, to: item.entry.within ?? 0 });
        return;
      }
      const id = JSON.stringify([part, place, typeName]);
      const known = patches.get(id);
      const selection = conditioned(item);
      patches.set(id, {
        ...{ part, place, typeName, provider: known?.provider ?? provider.field },
        selections: [...(known?.selections ?? []), selection],
      });
    }

    function descend(place: Place, typeName: string, key: string, items: readonly Item[]): void {
      const [first] = items;
      const type = schema.getType(typeName);
      if (first === undefined || !isObjectType(type)) return;
      const definition = type.getFields()[first.field.name.value];
      const named = definition === undefined ? undefined : getNamedType(definition.type);
      if (named === undefined || !isCompositeType(named)) return;
      const below = items.flatMap((item): Entry[] => {
        const { field, entry, conditions } = item;
        if (field.selectionSet === undefined) return [];
        const part = fetchedIn.get(field) ?? 0;
        const isHere = part === entry.within || !isCovered(item, items);
        const isConditional = entry.isConditional || conditions.length > 0;
        const within = isHere ? part : undefined;
        return [{ set: field.selectionSet, part, within, field, isConditional }];
      });
      const hasLater = below.some(({ set, within }) => hasOther(set, within));
      if (!hasLater) return;
      const next = [...place, { on: typeName, key }];
      const types = isAbstractType(named) ? schema.getPossibleTypes(named) : [named];
      for (const each of types) visit(next, each.name, below);
    }
  }

  /** Whether an earlier part has the field in any case, so that what is below it is all that may be missing. */
  function isCovered(item: Item, all: readonly Item[]): boolean {
    const part = fetchedIn.get(item.field) ?? 0;
    return all.some((other) => {
      const isSure = !other.entry.isConditional && other.conditions.length === 0;
      return other !== item && isSure && isBefore(fetchedIn.get(other.field) ?? 0, part);
    });
  }

  /** Whether several parts may ask for the same objects, whose lists need not be the same the second time. */
  function isContested({ field }: Item, all: readonly Item[]): boolean {
    if (field.selectionSet === undefined) return false;
    const part = fetchedIn.get(field) ?? 0;
    return all.some((other) => {
      const theirs = fetchedIn.get(other.field) ?? 0;
      return theirs !== part && !isBefore(part, theirs);
    });
  }

  function isBefore(earlier: number, later: number): boolean {
    if (earlier === later) return false;
    let at = later;
    while (at !== 0) {
      at = parents[at] ?? 0;
      if (at === earlier) return true;
    }
    return false;
  }

  function gather(entry: Entry, typeName: string, byKey: Map<string, Item[]>): void {
    const take = ({ selections }: SelectionSetNode, conditions: readonly DirectiveNode[]) => {
      for (const selection of selections) {
        const own = (selection.directives ?? []).filter(isCondition);
        const all = own.length === 0 ? conditions : [...conditions, ...own];
        if (selection.kind === Kind.FIELD) {
          const key = selection.alias?.value ?? selection.name.value;
          const items = byKey.get(key) ?? [];
          items.push({ field: selection, entry, conditions: all });
          byKey.set(key, items);
        } else if (selection.kind === Kind.INLINE_FRAGMENT) {
          if (applies(typeName, selection.typeCondition?.name.value)) {
            take(selection.selectionSet, all);
          }
        }
      }
    };
    take(entry.set, []);
  }

  function applies(typeName: string, condition: string | undefined): boolean {
    if (condition === undefined || condition === typeName) return true;
    const type = schema.getType(typeName);
    const wanted = schema.getType(condition);
    return isAbstractType(wanted) && isObjectType(type) && schema.isSubType(wanted, type);
  }

  function hasOther({ selections }: SelectionSetNode, within: number | undefined): boolean {
    return selections.some((selection) => {
      if (selection.kind === Kind.INLINE_FRAGMENT) return hasOther(selection.selectionSet, within);
      if (selection.kind !== Kind.FIELD) return false;
      if (fetchedIn.get(selection) !== within) return true;
      return selection.selectionSet !== undefined && hasOther(selection.selectionSet, within);
    });
  }
}

function isCondition({ name }: DirectiveNode): boolean {
  return name.value === 'skip' || name.value === 'include';
}

/** A field under the conditions of the fragments that it was taken out of. */
function conditioned({ field, conditions }: Item): SelectionNode {
  const own = field.directives ?? [];
  const outer = conditions.filter((each) => !own.includes(each));
  return outer.reduce<SelectionNode>(
    (inner, directive) => ({
      kind: Kind.INLINE_FRAGMENT,
      directives: [directive],
      selectionSet: { kind: Kind.SELECTION_SET, selections: [inner] },
    }),
    field,
  );
}

/**
 * The selections that are fetched in one part, with what they stand in, and with the keys that later parts need.
 *
 * @param extra by the field that gives the objects
 */
export function selectionsOfPart(
  selections: readonly SelectionNode[],
  part: number,
  fetchedIn: ReadonlyMap<FieldNode, number>,
  extra: ReadonlyMap<FieldNode, readonly SelectionNode[]>,
): readonly SelectionNode[] {
  return selections.flatMap((selection): SelectionNode[] => {
    if (selection.kind === Kind.FRAGMENT_SPREAD) return [];
    if (selection.kind === Kind.INLINE_FRAGMENT) {
      const inner = selectionsOfPart(selection.selectionSet.selections, part, fetchedIn, extra);
      if (inner.length === 0) return [];
      const directives = (selection.directives ?? []).filter(isCondition);
      return [{ ...selection, directives, selectionSet: setOf(inner) }];
    }
    const isHere = fetchedIn.get(selection) === part;
    if (selection.selectionSet === undefined) return isHere ? [selection] : [];
    const inner = [
      ...selectionsOfPart(selection.selectionSet.selections, part, fetchedIn, extra),
      ...(isHere ? (extra.get(selection) ?? []) : []),
    ];
    if (inner.length > 0) return [{ ...selection, selectionSet: setOf(inner) }];
    return isHere ? [{ ...selection, selectionSet: setOf([typename]) }] : [];
  });
}

export const typename: SelectionNode = {
  kind: Kind.FIELD,
  name: { kind: Kind.NAME, value: '__typename' },
};

export function setOf(selections: readonly SelectionNode[]): SelectionSetNode {
  return { kind: Kind.SELECTION_SET, selections };
}
