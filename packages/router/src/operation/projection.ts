import {
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLNamedType,
  type GraphQLObjectType,
  type GraphQLOutputType,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isCompositeType,
  isEnumType,
  isListType,
  isNonNullType,
  isObjectType,
  Kind,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import type { PlannerAliases } from './planner-alias.ts';

/** `@skip` or `@include` by a variable: the field is there where the variable is `wanted`. */
export interface Condition {
  readonly variable: string;
  readonly wanted: boolean;
}

/** One field of the answer, for one object type. */
export interface ProjectedField {
  readonly key: string;
  /** Its key in what is fetched. */
  readonly source: string;
  /** Whether every object answers to the key, such as `constructor`. */
  readonly isInherited: boolean;
  readonly conditions: readonly Condition[];
  /** `Type.field`; for errors. */
  readonly coordinate: string;
  readonly kind: 'typename' | 'leaf' | 'enum' | 'object' | 'refused';
  readonly shape: Shape;
  /** Names that callers may see, of an enum. */
  readonly values: ReadonlySet<string> | undefined;
  readonly selection: Projection | undefined;
}

/** Lists and non-nulls around the named type, from outside. */
export type Shape =
  | { readonly nonNull: boolean; readonly item: Shape }
  | { readonly nonNull: boolean; readonly item: undefined };

export interface ProjectionContext {
  readonly schema: GraphQLSchema;
  readonly aliases: PlannerAliases;
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  /** Whether `Type.field` is not for this caller. */
  readonly isRefused: (coordinate: string, field: FieldNode) => boolean;
}

interface Selected {
  readonly field: FieldNode;
  readonly conditions: readonly Condition[];
}

/**
 * What of the fetched data becomes the answer: the selections of an object, worked out for each object type once, when
 * the first value of that type comes by. Whatever the subgraphs sent beside it stays here.
 */
export class Projection {
  /** Name of the type where a value does not say its own. */
  readonly staticType: string;
  readonly #sets: readonly {
    readonly set: SelectionSetNode;
    readonly conditions: readonly Condition[];
  }[];
  readonly #context: ProjectionContext;
  readonly #byType = new Map<string, readonly ProjectedField[] | undefined>();

  constructor(
    type: GraphQLNamedType,
    sets: readonly { readonly set: SelectionSetNode; readonly conditions: readonly Condition[] }[],
    context: ProjectionContext,
  ) {
    this.staticType = type.name;
    this.#sets = sets;
    this.#context = context;
  }

  /** The fields of a value of this type, in order; undefined for a type that callers must not see. */
  fieldsOf(typename: string): readonly ProjectedField[] | undefined {
    const known = this.#byType.get(typename);
    if (known !== undefined) return known;
    const type = this.#context.schema.getType(typename);
    if (type === undefined || !isCompositeType(type)) return undefined;
    const fields = this.#collect(type);
    this.#byType.set(typename, fields);
    return fields;
  }

  #collect(type: GraphQLNamedType): readonly ProjectedField[] {
    const byKey = new Map<string, Selected[]>();
    for (const { set, conditions } of this.#sets) this.#gather(type, set, conditions, byKey);
    return [...byKey].flatMap(([key, selected]) => this.#project(type, key, selected));
  }

  #gather(
    type: GraphQLNamedType,
    set: SelectionSetNode,
    outer: readonly Condition[],
    byKey: Map<string, Selected[]>,
  ): void {
    for (const selection of set.selections) {
      const own = conditionsOf(selection);
      if (own === undefined) continue;
      const conditions = own.length === 0 ? outer : [...outer, ...own];
      if (selection.kind === Kind.FIELD) {
        const key = selection.alias?.value ?? selection.name.value;
        const all = byKey.get(key) ?? [];
        all.push({ field: selection, conditions });
        byKey.set(key, all);
        continue;
      }
      const fragment =
        selection.kind === Kind.INLINE_FRAGMENT
          ? selection
          : this.#context.fragments.get(selection.name.value);
      if (fragment === undefined || !this.#applies(type, fragment.typeCondition?.name.value))
        continue;
      this.#gather(type, fragment.selectionSet, conditions, byKey);
    }
  }

  #applies(type: GraphQLNamedType, condition: string | undefined): boolean {
    if (condition === undefined || condition === type.name) return true;
    const { schema } = this.#context;
    const wanted = schema.getType(condition);
    return isAbstractType(wanted) && isObjectType(type) && schema.isSubType(wanted, type);
  }

  /** One field; of several selections under other conditions each on its own, in the hope that one of them holds. */
  #project(type: GraphQLNamedType, key: string, selected: readonly Selected[]): ProjectedField[] {
    const [first] = selected;
    if (first === undefined) return [];
    const isSame = selected.every(({ conditions }) => sameConditions(conditions, first.conditions));
    if (isSame) return [this.#fieldOf(type, key, selected, first.conditions)];
    if (selected.some(({ conditions }) => conditions.length === 0)) {
      // There in any case; what is below keeps the conditions that it was selected under.
      return [this.#fieldOf(type, key, selected, [], true)];
    }
    return selected.map((each) => this.#fieldOf(type, key, selected, each.conditions, true));
  }

  #fieldOf(
    type: GraphQLNamedType,
    key: string,
    selected: readonly Selected[],
    conditions: readonly Condition[],
    keepsConditions = false,
  ): ProjectedField {
    const field = (selected[0] as Selected).field;
    const name = field.name.value;
    const coordinate = `${type.name}.${name}`;
    const source = this.#context.aliases.keyOf(field);
    const isInherited = source in plain;
    const bare = {
      key,
      source,
      isInherited,
      conditions,
      coordinate,
      values: undefined,
      selection: undefined,
    };
    if (name === '__typename') return { ...bare, kind: 'typename', shape: leaf };
    // Filled in by introspection; its place among the others is here.
    if (name === '__schema' || name === '__type') return { ...bare, kind: 'leaf', shape: nullable };
    const definition = (type as GraphQLObjectType).getFields()[name];
    if (definition === undefined) throw new TypeError(`field "${coordinate}" of a valid document`);
    const shape = shapeOf(definition.type);
    if (selected.some((each) => this.#context.isRefused(coordinate, each.field))) {
      return { ...bare, kind: 'refused', shape };
    }
    const named = getNamedType(definition.type);
    if (isEnumType(named)) {
      const values = new Set(named.getValues().map((value) => value.name));
      return { ...bare, kind: 'enum', shape, values };
    }
    if (!isCompositeType(named)) return { ...bare, kind: 'leaf', shape };
    const sets = selected.flatMap((each) => {
      const { selectionSet: set } = each.field;
      return set === undefined ? [] : [{ set, conditions: keepsConditions ? each.conditions : [] }];
    });
    const selection = new Projection(named, sets, this.#context);
    return { ...bare, kind: 'object', shape, selection };
  }
}

const plain: object = {};
const leaf: Shape = { nonNull: true, item: undefined };
const nullable: Shape = { nonNull: false, item: undefined };

function shapeOf(type: GraphQLOutputType): Shape {
  const nonNull = isNonNullType(type);
  const bare = nonNull ? type.ofType : type;
  return { nonNull, item: isListType(bare) ? shapeOf(bare.ofType) : undefined };
}

/** Undefined: never. */
export function conditionsOf(selection: SelectionNode): readonly Condition[] | undefined {
  const conditions: Condition[] = [];
  for (const { name, arguments: args } of selection.directives ?? []) {
    if (name.value !== 'skip' && name.value !== 'include') continue;
    const wanted = name.value === 'include';
    const value = args?.find((each) => each.name.value === 'if')?.value;
    if (value?.kind === Kind.VARIABLE) conditions.push({ variable: value.name.value, wanted });
    else if (value?.kind === Kind.BOOLEAN && value.value !== wanted) return undefined;
  }
  return conditions.length === 0 ? none : conditions;
}

const none: readonly Condition[] = [];

function sameConditions(a: readonly Condition[], b: readonly Condition[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ variable, wanted }) =>
      b.some((other) => other.variable === variable && other.wanted === wanted),
    )
  );
}
