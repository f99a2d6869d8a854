import {
  experimentalExecuteIncrementally,
  type FieldNode,
  GraphQLError,
  type GraphQLFieldResolver,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isEnumType,
  legacyExecuteIncrementally,
  responsePathAsArray,
} from 'graphql';
import type { Data } from '../execute/project-data.ts';
import type { PlannerAliases } from '../operation/planner-alias.ts';
import type { ErrorBook } from './error-book.ts';
import type { DeferredOperation } from './plan-deferred.ts';

/**
 * How parts are written: `incrementalSpec=v0.2` is that of graphql-js 17 (`pending`, `incremental`, `completed`);
 * `deferSpec=20220824` the one before it, by which each part says its path and label.
 */
export type PartFormat = 'incrementalSpec=v0.2' | 'deferSpec=20220824';

/** One part of an answer, JSON. */
export type AnswerPart = Record<string, unknown>;

export interface Delivery {
  readonly deferred: DeferredOperation;
  readonly format: PartFormat;
  readonly schema: GraphQLSchema;
  /** Which the parts of {@link fetchParts} fill. */
  readonly data: Data;
  readonly ready: readonly Promise<void>[];
  readonly errors: ErrorBook;
  /** As the caller gave them. */
  readonly variables: Readonly<Record<string, unknown>>;
  readonly isRefused: (coordinate: string, field: FieldNode) => boolean;
  readonly aliases: PlannerAliases;
  readonly signal: AbortSignal;
}

/**
 * The parts of an answer in the order in which they are ready, as graphql-js writes them: which field belongs to which
 * part, what is left out as delivered already, and how far a null goes are its judgement; each field's value is what was
 * fetched, as soon as that is there.
 */
export async function* deliverParts(delivery: Delivery): AsyncGenerator<AnswerPart> {
  const { deferred, format, schema, data, ready, errors, variables, signal } = delivery;
  const execute =
    format === 'deferSpec=20220824' ? legacyExecuteIncrementally : experimentalExecuteIncrementally;
  await ready[0];
  const result = await execute({
    ...{ schema, document: deferred.document, rootValue: data, variableValues: variables },
    fieldResolver: resolverOf(delivery),
    typeResolver: (value) => typenameOf(value),
    abortSignal: signal,
  });
  if (!('initialResult' in result)) {
    yield withErrors({ ...result, hasNext: false }, errors);
    return;
  }
  yield withErrors({ ...result.initialResult }, errors);
  for await (const part of result.subsequentResults) {
    yield withLaterErrors({ ...part }, errors);
  }
}

function resolverOf(delivery: Delivery): GraphQLFieldResolver<Data, unknown> {
  const { deferred, ready, isRefused, errors, schema, aliases } = delivery;
  const done = new Set<number>();
  for (const [part, each] of ready.entries()) void each.then(() => done.add(part));
  return async function resolvePart(source, _args, _context, info) {
    const parts = info.fieldNodes.map((each) => deferred.partOf.get(each) ?? 0);
    if (!parts.some((each) => each === 0 || done.has(each))) {
      await Promise.race(parts.map((each) => ready[each]));
    }
    const coordinate = `${info.parentType.name}.${info.fieldName}`;
    if (info.fieldNodes.some((each) => isRefused(coordinate, each))) {
      throw new GraphQLError(`not allowed to read "${coordinate}"`, {
        extensions: { code: 'ERR_GRAPHQL_DENIED' },
      });
    }
    const key = aliases.keyOf(info.fieldNodes[0] as FieldNode);
    const raw = Object.hasOwn(source, key) ? source[key] : undefined;
    const value = shown(raw, info.returnType, schema);
    if (value !== undefined && value !== null) return value;
    const error = errors.take(responsePathAsArray(info.path));
    if (error === undefined) return null;
    throw new GraphQLError(error.message, { extensions: error.extensions });
  };
}

/** Without values of enums, and objects of types, that callers may not see. */
function shown(
  value: unknown,
  type: Parameters<typeof getNamedType>[0],
  schema: GraphQLSchema,
): unknown {
  const named = getNamedType(type);
  if (isEnumType(named)) {
    return mapItems(value, (each) =>
      typeof each === 'string' && named.getValue(each) === undefined ? null : each,
    );
  }
  if (!isAbstractType(named)) return value;
  return mapItems(value, (each) => {
    const name = typenameOf(each);
    return name === undefined || schema.getType(name) === undefined ? null : each;
  });
}

function mapItems(value: unknown, map: (item: unknown) => unknown): unknown {
  return Array.isArray(value) ? value.map((each) => mapItems(each, map)) : map(value);
}

function typenameOf(value: unknown): string | undefined {
  const { __typename } = Object(value) as Data;
  return typeof __typename === 'string' ? __typename : undefined;
}

function withErrors(part: AnswerPart, errors: ErrorBook): AnswerPart {
  const rest = errors.rest();
  if (rest.length === 0) return part;
  return { ...part, errors: [...((part.errors as object[] | undefined) ?? []), ...rest] };
}

/** Errors that no null of a later part shows stand beside what came with them. */
function withLaterErrors(part: AnswerPart, errors: ErrorBook): AnswerPart {
  const entries = (part.incremental ?? part.completed) as AnswerPart[] | undefined;
  if (entries === undefined || entries.length === 0) return part;
  const key = part.incremental === undefined ? 'completed' : 'incremental';
  const last = withErrors(entries[entries.length - 1] as AnswerPart, errors);
  return { ...part, [key]: [...entries.slice(0, -1), last] };
}
