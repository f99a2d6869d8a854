import { parse } from 'graphql';
import type { SubgraphOperation } from '../plan/plan.ts';
import type { ResponseError, SubgraphAnswer } from './response-error.ts';

/** Reads a subgraph's answer; undefined where it is no GraphQL response (GraphQL §7.1). */
export function readAnswer(text: string): SubgraphAnswer | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined;
  const { data, errors } = json as { readonly data?: unknown; readonly errors?: unknown };
  const isData =
    data === undefined || data === null || (typeof data === 'object' && !Array.isArray(data));
  if (!isData || (data === undefined && errors === undefined)) return undefined;
  return {
    data: data as SubgraphAnswer['data'],
    errors: Array.isArray(errors) ? errors.map(errorOf) : none,
  };
}

const none: readonly ResponseError[] = [];

/** Only the members that the specification has; a place in the subgraph's own document is none in the caller's. */
function errorOf(error: unknown): ResponseError {
  const { message, path, extensions } = Object(error) as Record<string, unknown>;
  return {
    message: typeof message === 'string' ? message : 'error without a message',
    ...(Array.isArray(path) && { path: path as (string | number)[] }),
    ...(typeof extensions === 'object' &&
      extensions !== null && { extensions: extensions as Record<string, unknown> }),
  };
}

/** The answer of a subgraph that gave none: what is asked of it becomes null. */
export function missingAnswer(operation: SubgraphOperation, id: string): SubgraphAnswer {
  const errors = rootKeys(operation.operation).map((key) => ({
    message: 'this part of the data is not available',
    path: [key],
    extensions: { code: 'ERR_SUBGRAPH_UNAVAILABLE', id },
  }));
  return { data: undefined, errors };
}

function rootKeys(operation: string): string[] {
  const [definition] = parse(operation, { noLocation: true }).definitions;
  if (definition === undefined || !('selectionSet' in definition)) return [];
  return (definition.selectionSet?.selections ?? []).flatMap((selection) =>
    selection.kind === 'Field' ? [selection.alias?.value ?? selection.name.value] : [],
  );
}
