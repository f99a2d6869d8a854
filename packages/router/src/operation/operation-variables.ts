import { denial } from '@countersign/base';
import { type GraphQLSchema, getVariableValues } from 'graphql';
import type { Variables } from '../execute/project-data.ts';
import type { PreparedOperation, RefusedOperation } from './prepare-operation.ts';

/** An operation that passed everything but its execution. */
export interface ReadyOperation {
  readonly ok: true;
  readonly prepared: PreparedOperation;
  readonly variables: Variables;
}

const noVariables: Variables = {};

/**
 * The operation with the values of its variables, or why they do not fit. Refusals: ERR_GRAPHQL_VARIABLES.
 *
 * @param hideSuggestions whether names that the caller may have meant are withheld
 */
export function operationVariables(
  prepared: PreparedOperation,
  given: Readonly<Record<string, unknown>>,
  schema: GraphQLSchema,
  hideSuggestions: boolean,
): ReadyOperation | RefusedOperation {
  const definitions = prepared.operation.variableDefinitions ?? [];
  if (definitions.length === 0) return { ok: true, prepared, variables: noVariables };
  const result = getVariableValues(schema, definitions, given, { maxErrors: 10, hideSuggestions });
  if (result.errors === undefined) {
    return { ok: true, prepared, variables: result.variableValues.coerced };
  }
  const errors = result.errors.map(({ message, locations }) => ({
    message,
    locations: locations?.map(({ line, column }) => ({ line, column })),
    extensions: { code: 'ERR_GRAPHQL_VARIABLES' },
  }));
  const [first] = errors;
  return { ...denial('ERR_GRAPHQL_VARIABLES', first?.message ?? 'wrong variables'), errors };
}
