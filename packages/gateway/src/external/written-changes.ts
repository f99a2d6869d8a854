import type { ExternalAnswers, ExternalChanges, ExternalResponse } from '@countersign/authz';
import type { Log } from '@countersign/base';
import type { DirectAnswer } from '../answer-directly.ts';
import { wrongWithHeaderName, wrongWithHeaderValue } from '../model/header-guard.ts';
import { type HeaderOperations, operateOnHeaders } from '../model/header-operations.ts';

type Line = readonly [name: string, value: string];

/** What all authorizers that said yes have done to a request and its response. */
export interface TakenChanges {
  /** Of the request, names and values alternating. */
  readonly rawHeaders: readonly string[];
  readonly query: string;
  readonly response: readonly HeaderOperations[];
}

/**
 * Takes of authorizers' changes what may be written; what would frame a message, pass for the handshake or be no header is
 * left out, and told in the log.
 */
export function takeChanges(
  answers: ExternalAnswers,
  received: { readonly rawHeaders: readonly string[]; readonly query: string },
  log: Log,
): TakenChanges {
  const all = [...answers].flatMap(([provider, answer]) =>
    answer.ok && answer.changes !== undefined ? [{ provider, changes: answer.changes }] : [],
  );
  if (all.length === 0) return { ...received, response: [] };
  const headers = [...received.rawHeaders];
  let { query } = received;
  const response: HeaderOperations[] = [];
  for (const { provider, changes } of all) {
    operateOnHeaders(headers, [requestOperations(changes, (line) => isTaken(line, provider, log))]);
    query = changedQuery(query, changes.query);
    const { set, add, addIfAbsent } = changes.response;
    const may = (line: Line) => isTaken(line, provider, log, 'may name a caller');
    response.push({
      ...{ remove: [], set: set.filter(may), add: add.filter(may) },
      addIfAbsent: addIfAbsent.filter(may),
    });
  }
  return { rawHeaders: headers, query, response };
}

/** The answer that an authorizer has for a caller that it refuses. */
export function answerOf(
  { status, headers, body }: ExternalResponse,
  provider: string,
  log: Log,
): DirectAnswer {
  const taken = headers.filter((line) => isTaken(line, provider, log, 'may name a caller'));
  return { status, headers: taken.flat(), body };
}

function requestOperations(
  { request }: ExternalChanges,
  isAllowed: (line: Line) => boolean,
): HeaderOperations {
  const { remove, set, add, addIfAbsent } = request;
  return {
    remove: remove
      .filter((name) => wrongWithHeaderName(name, 'may name a caller') === undefined)
      .map((name) => name.toLowerCase()),
    ...{ set: set.filter(isAllowed), add: add.filter(isAllowed) },
    addIfAbsent: addIfAbsent.filter(isAllowed),
  };
}

function isTaken(
  [name, value]: Line,
  provider: string,
  log: Log,
  identity?: 'may name a caller',
): boolean {
  const wrong = wrongWithHeaderName(name, identity) ?? wrongWithHeaderValue(value);
  if (wrong === undefined) return true;
  const line = { provider, header: name.slice(0, 100) };
  log.warn(line, `header of an authorization service is not taken: it ${wrong}`);
  return false;
}

function changedQuery(query: string, changes: ExternalChanges['query']): string {
  if (changes === undefined || (changes.set.length === 0 && changes.remove.length === 0)) {
    return query;
  }
  const params = new URLSearchParams(query.slice(1));
  for (const name of changes.remove) params.delete(name);
  for (const [name, value] of changes.set) params.set(name, value);
  const text = params.toString();
  return text === '' ? '' : `?${text}`;
}
