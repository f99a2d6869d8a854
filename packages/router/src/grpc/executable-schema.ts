import {
  buildASTSchema,
  type DocumentNode,
  type GraphQLFieldResolver,
  GraphQLObjectType,
  type GraphQLSchema,
  GraphQLUnionType,
  Kind,
  parse,
} from 'graphql';
import type { EntityBinding } from './grpc-entities.ts';
import type { GrpcSchema } from './grpc-schema.ts';
import type { ProtoMethod } from './proto-schema.ts';
import { isEmptyMessage, type Values, wellKnownType } from './well-known-types.ts';

/** Makes calls for the fields of a schema. */
export interface MethodCaller<Context> {
  /** @throws GraphQLError */
  call(method: ProtoMethod, value: unknown, context: Context): Promise<unknown>;
  /** As `call`; null where it is not found. */
  find(method: ProtoMethod, value: unknown, context: Context): Promise<unknown>;
  stream(method: ProtoMethod, value: unknown, context: Context): AsyncGenerator<unknown>;
}

type Resolver<Context> = GraphQLFieldResolver<unknown, Context, Values>;

/** A GraphQL schema whose root fields are calls, with `_entities` as a federation asks for it. */
export function executableSchema<Context>(
  schema: GrpcSchema,
  caller: MethodCaller<Context>,
): GraphQLSchema {
  const executable = buildASTSchema(documentOf(schema), {
    assumeValid: true,
    assumeValidSDL: true,
  });
  const fieldOf = (type: string, field: string) => {
    const found = executable.getType(type);
    return found instanceof GraphQLObjectType ? found.getFields()[field] : undefined;
  };
  for (const { root, field, method } of schema.methods) {
    const definition = fieldOf(root, field);
    if (definition === undefined) continue;
    const messageOf = argumentsReader(schema, method);
    if (root === 'Subscription') {
      definition.subscribe = ((_root, given, context) =>
        caller.stream(method, messageOf(given), context)) as Resolver<Context>;
      definition.resolve = (message) => message;
    } else {
      definition.resolve = ((_root, given, context) =>
        caller.call(method, messageOf(given), context)) as Resolver<Context>;
    }
  }
  for (const { type, field, entity, key, from } of schema.references) {
    const definition = fieldOf(type, field);
    if (definition === undefined) continue;
    const refer = (value: unknown) =>
      value === null || value === undefined || value === ''
        ? null
        : { __typename: entity, [key]: value };
    definition.resolve = (parent) => {
      const value = (parent as Values)[from];
      return Array.isArray(value) ? value.map(refer) : refer(value);
    };
  }
  const entities = fieldOf('Query', '_entities');
  if (entities !== undefined) {
    entities.resolve = ((_root, { representations }, context) =>
      entitiesOf(schema, representations as Values[], caller, context)) as Resolver<Context>;
  }
  const union = executable.getType('_Entity');
  if (union instanceof GraphQLUnionType) {
    union.resolveType = (value) => String((value as Values).__typename);
  }
  return executable;
}

/** The subgraph's SDL without what only composition reads, and with what only a router asks. */
function documentOf({ sdl, entities }: GrpcSchema): DocumentNode {
  const own = parse(sdl, { noLocation: true });
  const kept = own.definitions.filter(({ kind }) => kind !== Kind.SCHEMA_EXTENSION);
  const hasQuery = kept.some(
    (each) => each.kind === Kind.OBJECT_TYPE_DEFINITION && each.name.value === 'Query',
  );
  const names = [...entities.keys()];
  const field =
    names.length === 0 ? '_none: Boolean' : '_entities(representations: [_Any!]!): [_Entity]!';
  const added = parse(
    [
      `${hasQuery ? 'extend ' : ''}type Query { ${field} }`,
      'scalar _Any',
      names.length === 0 ? '' : `union _Entity = ${names.join(' | ')}`,
    ].join('\n'),
    { noLocation: true },
  ).definitions;
  return { kind: Kind.DOCUMENT, definitions: [...kept, ...added] };
}

/** The message of a method from the arguments of its field. */
function argumentsReader({ proto }: GrpcSchema, { input }: ProtoMethod) {
  const message = proto.messages.get(input);
  const isPlain = wellKnownType(input) !== undefined;
  return (given: Values): unknown => {
    if (message === undefined || isEmptyMessage(message)) return {};
    return isPlain ? given.value : given;
  };
}

async function entitiesOf<Context>(
  { entities }: GrpcSchema,
  representations: readonly Values[],
  caller: MethodCaller<Context>,
  context: Context,
): Promise<unknown[]> {
  const byType = new Map<string, Values[]>();
  for (const each of representations) {
    const type = String(each.__typename);
    const known = byType.get(type);
    if (known === undefined) byType.set(type, [each]);
    else known.push(each);
  }
  const batches = new Map<string, Promise<ReadonlyMap<string, unknown>>>();
  for (const [type, all] of byType) {
    const binding = entities.get(type);
    if (binding?.isBatch !== true) continue;
    const batch = callBatch(binding, all, caller, context);
    // Told at each of its entities, below.
    batch.catch(() => {});
    batches.set(type, batch);
  }
  return representations.map(async (each) => {
    const type = String(each.__typename);
    const binding = entities.get(type);
    if (binding === undefined) return null;
    const batch = await batches.get(type);
    if (batch !== undefined) return batch.get(String(each[binding.keys[0] ?? ''])) ?? null;
    return await callOne(binding, each, caller, context);
  });
}

async function callOne<Context>(
  { type, keys, method, argumentOf, result }: EntityBinding,
  representation: Values,
  caller: MethodCaller<Context>,
  context: Context,
): Promise<unknown> {
  const value = Object.fromEntries(
    keys.map((key) => [argumentOf.get(key) ?? key, representation[key]]),
  );
  // An entity that nobody knows is null (Federation subgraph specification, `_entities`), no failure.
  const answer = await caller.find(method, value, context);
  const entity = result === undefined ? answer : (answer as Values | null)?.[result];
  return entity === null || entity === undefined ? null : { ...entity, __typename: type };
}

async function callBatch<Context>(
  { type, keys, method, argumentOf, result }: EntityBinding,
  representations: readonly Values[],
  caller: MethodCaller<Context>,
  context: Context,
): Promise<ReadonlyMap<string, unknown>> {
  const [key = ''] = keys;
  const wanted = [...new Set(representations.map((each) => each[key]))];
  const answer = await caller.call(method, { [argumentOf.get(key) ?? key]: wanted }, context);
  const found = (answer as Values | null)?.[result ?? ''] as Values[] | undefined;
  return new Map((found ?? []).map((each) => [String(each[key]), { ...each, __typename: type }]));
}
