import {
  type ConstDirectiveNode,
  type DefinitionNode,
  type DocumentNode,
  type EnumTypeDefinitionNode,
  type FieldDefinitionNode,
  Kind,
  type ObjectTypeDefinitionNode,
  parse,
  print,
  type SelectionSetNode,
  type TypeNode,
} from 'graphql';

/** The subgraph that nobody serves: it has the keys of the entities that are at hand already. */
export const heldSubgraph = 'countersign-held';
const heldGraph = 'COUNTERSIGN_HELD';
const heldPrefix = 'countersign_held_';

/** Root field of {@link heldSubgraph} that gives the entities of an object type. */
export function heldField(typeName: string): string {
  return `${heldPrefix}${typeName}`;
}

export interface HeldSupergraph {
  readonly sdl: string;
  /** Object types that can be completed by their keys. */
  readonly entities: ReadonlySet<string>;
}

/**
 * A supergraph in which entities that were fetched before can be asked for more, so that a planner which knows only
 * whole operations plans what is deferred: one more subgraph gives, by a root field for each entity type, what its keys
 * are made of, and nothing else. No plan ever goes back to it, its keys resolve nothing. What is inaccessible to callers
 * is accessible there, for keys may be.
 */
export function heldSupergraph(sdl: string): HeldSupergraph {
  const document = parse(sdl, { noLocation: true });
  const types = new Map(
    document.definitions.flatMap((each) =>
      'name' in each && each.name !== undefined ? [[each.name.value, each] as const] : [],
    ),
  );
  const root = queryNameOf(document);
  const keys = new Map<string, readonly string[]>();
  for (const [name, type] of types) {
    if (type.kind !== Kind.OBJECT_TYPE_DEFINITION) continue;
    const own = keysOf(type);
    if (own.length > 0) keys.set(name, own);
  }
  // Which fields of which types keys are made of, and the types of those.
  const held = new Map<string, Set<string>>();
  for (const [name, own] of keys) {
    for (const key of own) hold(name, selectionOf(key), types, held);
  }
  const definitions = document.definitions.map((each): DefinitionNode => {
    const bare = withoutInaccessible(each);
    if (bare.kind === Kind.ENUM_TYPE_DEFINITION && bare.name.value === 'join__Graph') {
      return withGraph(bare);
    }
    const fields = 'name' in bare ? held.get(bare.name?.value ?? '') : undefined;
    if (bare.kind === Kind.OBJECT_TYPE_DEFINITION) {
      if (bare.name.value === root) return withRoots(bare, [...keys.keys()]);
      return fields === undefined ? bare : withHeld(bare, fields, keys.get(bare.name.value) ?? []);
    }
    return fields === undefined ? bare : asHeldLeaf(bare);
  });
  return { sdl: print({ ...document, definitions }), entities: new Set(keys.keys()) };
}

function queryNameOf({ definitions }: DocumentNode): string {
  for (const each of definitions) {
    if (each.kind !== Kind.SCHEMA_DEFINITION) continue;
    const query = each.operationTypes.find(({ operation }) => operation === 'query');
    if (query !== undefined) return query.type.name.value;
  }
  return 'Query';
}

/** Keys that some subgraph resolves, each once. */
function keysOf({ directives = [] }: ObjectTypeDefinitionNode): readonly string[] {
  const found = new Set<string>();
  for (const each of directives) {
    if (each.name.value !== 'join__type') continue;
    const key = argumentOf(each, 'key');
    const resolvable = argumentOf(each, 'resolvable');
    if (key?.kind !== Kind.STRING) continue;
    if (resolvable?.kind === Kind.BOOLEAN && !resolvable.value) continue;
    found.add(key.value);
  }
  return [...found];
}

function selectionOf(key: string): SelectionSetNode {
  const [definition] = parse(`{ ${key} }`, { noLocation: true }).definitions;
  if (definition?.kind !== Kind.OPERATION_DEFINITION) throw new TypeError(`key "${key}"`);
  return definition.selectionSet;
}

function hold(
  typeName: string,
  { selections }: SelectionSetNode,
  types: ReadonlyMap<string, DefinitionNode>,
  held: Map<string, Set<string>>,
): void {
  const fields = held.get(typeName) ?? new Set<string>();
  held.set(typeName, fields);
  const type = types.get(typeName);
  for (const selection of selections) {
    if (selection.kind !== Kind.FIELD || type?.kind !== Kind.OBJECT_TYPE_DEFINITION) continue;
    const field = type.fields?.find(({ name }) => name.value === selection.name.value);
    if (field === undefined) continue;
    fields.add(field.name.value);
    const below = nameOf(field.type);
    if (selection.selectionSet !== undefined) hold(below, selection.selectionSet, types, held);
    else if (types.has(below)) held.set(below, held.get(below) ?? new Set());
  }
}

function withGraph(graphs: EnumTypeDefinitionNode): EnumTypeDefinitionNode {
  const fresh = parse(
    `enum join__Graph { ${heldGraph} @join__graph(name: "${heldSubgraph}", url: "") }`,
    { noLocation: true },
  ).definitions[0] as EnumTypeDefinitionNode;
  return { ...graphs, values: [...(graphs.values ?? []), ...(fresh.values ?? [])] };
}

function withRoots(
  query: ObjectTypeDefinitionNode,
  entities: readonly string[],
): ObjectTypeDefinitionNode {
  const roots = entities.map(
    (each) => `${heldField(each)}: [${each}] @join__field(graph: ${heldGraph})`,
  );
  if (roots.length === 0) return query;
  const fresh = typeOf(`type Query @join__type(graph: ${heldGraph}) { ${roots.join('\n')} }`);
  const explicit = withExplicitGraphs(query, new Set());
  return {
    ...explicit,
    directives: [...(query.directives ?? []), ...(fresh.directives ?? [])],
    fields: [...(explicit.fields ?? []), ...(fresh.fields ?? [])],
  };
}

function withHeld(
  type: ObjectTypeDefinitionNode,
  fields: ReadonlySet<string>,
  keys: readonly string[],
): ObjectTypeDefinitionNode {
  const written = keys.map(
    (key) => `@join__type(graph: ${heldGraph}, key: ${JSON.stringify(key)}, resolvable: false)`,
  );
  const own = written.length === 0 ? `@join__type(graph: ${heldGraph})` : written.join(' ');
  const { directives = [] } = typeOf(`type T ${own} { a: Int }`);
  const explicit = withExplicitGraphs(type, fields);
  return { ...explicit, directives: [...(type.directives ?? []), ...directives] };
}

/** A field that says no subgraph is in all of them, which the new one must not be taken for. */
function withExplicitGraphs(
  type: ObjectTypeDefinitionNode,
  held: ReadonlySet<string>,
): ObjectTypeDefinitionNode {
  const graphs = new Set(
    (type.directives ?? []).flatMap((each) => {
      const graph = each.name.value === 'join__type' ? argumentOf(each, 'graph') : undefined;
      return graph?.kind === Kind.ENUM ? [graph.value] : [];
    }),
  );
  return {
    ...type,
    fields: (type.fields ?? []).map((field): FieldDefinitionNode => {
      const { directives = [] } = field;
      const isSaid = directives.some(({ name }) => name.value === 'join__field');
      const further = [
        ...(isSaid ? [] : graphs),
        ...(held.has(field.name.value) ? [heldGraph] : []),
      ].map((graph) => `@join__field(graph: ${graph})`);
      if (further.length === 0) return field;
      const { fields = [] } = typeOf(`type T { a: Int ${further.join(' ')} }`);
      return { ...field, directives: [...directives, ...(fields[0]?.directives ?? [])] };
    }),
  };
}

/** A scalar or an enum that a key has: the new subgraph knows it, all of its values. */
function asHeldLeaf(leaf: DefinitionNode): DefinitionNode {
  const isEnum = leaf.kind === Kind.ENUM_TYPE_DEFINITION;
  if (!isEnum && leaf.kind !== Kind.SCALAR_TYPE_DEFINITION) return leaf;
  const { directives: added = [] } = typeOf(`type T @join__type(graph: ${heldGraph}) { a: Int }`);
  const directives = [...(leaf.directives ?? []), ...added];
  if (!isEnum) return { ...leaf, directives };
  const { directives: ofValue = [] } = typeOf(
    `type T @join__enumValue(graph: ${heldGraph}) { a: Int }`,
  );
  const values = (leaf.values ?? []).map((value) => ({
    ...value,
    directives: [...(value.directives ?? []), ...ofValue],
  }));
  return { ...leaf, directives, values };
}

function withoutInaccessible(definition: DefinitionNode): DefinitionNode {
  if (definition.kind === Kind.DIRECTIVE_DEFINITION || !('directives' in definition)) {
    return definition;
  }
  const strip = <T extends object>(node: T): T => {
    const {
      directives,
      fields,
      values,
      arguments: args,
    } = node as {
      readonly directives?: readonly ConstDirectiveNode[];
      readonly fields?: readonly object[];
      readonly values?: readonly object[];
      readonly arguments?: readonly object[];
    };
    return {
      ...node,
      ...(directives !== undefined && {
        directives: directives.filter(({ name }) => name.value !== 'inaccessible'),
      }),
      ...(fields !== undefined && { fields: fields.map(strip) }),
      ...(values !== undefined && { values: values.map(strip) }),
      ...(args !== undefined && { arguments: args.map(strip) }),
    };
  };
  return strip(definition);
}

function argumentOf({ arguments: args }: ConstDirectiveNode, name: string) {
  return args?.find((each) => each.name.value === name)?.value;
}

function nameOf(type: TypeNode): string {
  return type.kind === Kind.NAMED_TYPE ? type.name.value : nameOf(type.type);
}

function typeOf(sdl: string): ObjectTypeDefinitionNode {
  return parse(sdl, { noLocation: true }).definitions[0] as ObjectTypeDefinitionNode;
}
