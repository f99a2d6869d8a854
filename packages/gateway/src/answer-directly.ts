import type { ClientExchange } from './client/client-exchange.ts';
import { type HeaderOperations, operateOnHeaders } from './model/header-operations.ts';
import type { RedirectAction, RespondAction } from './model/route-model.ts';
import type { Route } from './model/route-table.ts';
import type { RequestHead } from './request-head.ts';

/** A response that no upstream is asked for. */
export interface DirectAnswer {
  readonly status: number;
  /** Names and values alternating. */
  readonly headers: readonly string[];
  readonly body: string;
}

/** What a route answers by itself; undefined for one that forwards. @param scheme of the client's connection */
export function directAnswerOf(
  { model, rewrite }: Route,
  head: RequestHead,
  scheme: 'http' | 'https',
): DirectAnswer | undefined {
  const { action } = model;
  if (action.kind === 'forward') return undefined;
  if (action.kind === 'respond') return respondAs(action);
  const { target } = head;
  const path = action.path ?? rewrite?.(target.path) ?? target.path;
  // Its own query, where it has one, replaces the request's.
  const dropsQuery = action.dropsQuery === true || action.path?.includes('?') === true;
  const query = dropsQuery ? '' : target.query;
  const location = `${originOf(action, head, scheme)}${path}${query}`;
  return { status: action.status, headers: ['Location', location], body: '' };
}

/** The same over TLS, where clear text is not served. */
export function redirectToTls({ host, target }: RequestHead): DirectAnswer {
  const location = `https://${host}${target.path}${target.query}`;
  return { status: 301, headers: ['Location', location], body: '' };
}

export function answerDirectly(
  { protocol, response }: Pick<ClientExchange, 'protocol' | 'response'>,
  head: RequestHead,
  { status, headers, body }: DirectAnswer,
  more: { readonly operations?: readonly HeaderOperations[]; readonly close: boolean },
): void {
  const isBodiless = status === 204 || status === 304;
  const all = [...headers];
  if (body !== '') all.push('Content-Type', 'text/plain');
  if (!isBodiless) all.push('Content-Length', String(Buffer.byteLength(body)));
  operateOnHeaders(all, more.operations ?? []);
  // RFC 9113 §8.2.2: HTTP/2 ends connections by other means.
  if (more.close && protocol === 'h1') all.push('Connection', 'close');
  response.writeHead(status, all);
  response.end(isBodiless || head.method === 'HEAD' ? undefined : body);
}

function respondAs({ status, body = '' }: RespondAction): DirectAnswer {
  return { status, headers: [], body };
}

/** As Envoy makes it: another port drops the client's, and so does another scheme where that was the usual one. */
function originOf(
  { scheme: wanted, host, port }: RedirectAction,
  { authority }: RequestHead,
  was: 'http' | 'https',
): string {
  const scheme = wanted ?? was;
  const [, name = authority, written] = /^(.*?)(?::(\d+))?$/.exec(authority) ?? [];
  const isUsual = scheme !== was && written === usualPorts[was];
  const kept = host ?? (port !== undefined || isUsual ? name : authority);
  return `${scheme}://${kept}${port === undefined ? '' : `:${port}`}`;
}

const usualPorts = { http: '80', https: '443' } as const;
