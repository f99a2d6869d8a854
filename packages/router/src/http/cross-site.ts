import type { IncomingMessage, ServerResponse } from 'node:http';
import { denial } from '@countersign/base';
import type { RouterConfig } from '../config/router-config.ts';
import { isMultipart, type RefusedRequest } from './read-request.ts';

/** Headers that a page can send to another site only after its browser has asked that site. */
const preflighted = [
  'apollo-require-preflight',
  'x-apollo-operation-name',
  'x-graphql-require-preflight',
];

/**
 * Refuses what a foreign page could make a browser send without asking: a request that the browser itself says comes
 * from another site (Fetch metadata, or else `origin`), without a header that needs a preflight. Programs send neither.
 */
export function judgeCrossSite(
  request: IncomingMessage,
  { csrf_prevention: isOn, cors }: Pick<RouterConfig, 'csrf_prevention' | 'cors'>,
): RefusedRequest | undefined {
  if (!isOn) return undefined;
  const { headers } = request;
  const isAsked = preflighted.some((name) => headers[name] !== undefined);
  // A form is what a page can send anywhere, and an older browser says nothing of where it comes from.
  if (isMultipart(headers['content-type']) && !isAsked) {
    const detail = `files without a header "${preflighted[0]}" or "${preflighted[2]}"`;
    return { ...denial('ERR_GRAPHQL_CSRF', detail), status: 403 };
  }
  const site = headers['sec-fetch-site'];
  const { origin } = headers;
  if (site === undefined && origin === undefined) return undefined;
  if (site === 'same-origin' || site === 'none') return undefined;
  if (origin !== undefined && cors?.origins.includes(origin) === true) return undefined;
  if (site === undefined && isOwnOrigin(origin, headers.host)) return undefined;
  // A JSON body cannot be sent across sites without a preflight, and that one is answered by CORS.
  if (/^application\/(graphql\+)?json\b/i.test(headers['content-type'] ?? '')) return undefined;
  if (isAsked) return undefined;
  const from = origin ?? site;
  return {
    ...denial('ERR_GRAPHQL_CSRF', `request from "${from}" without a preflight`),
    status: 403,
  };
}

/** Sets the headers by which a browser lets a page of another origin read the answer. */
export function allowOrigin(
  request: IncomingMessage,
  response: ServerResponse,
  cors: RouterConfig['cors'],
): void {
  if (cors === undefined) return;
  response.setHeader('vary', 'origin');
  const { origin } = request.headers;
  if (origin === undefined || !cors.origins.includes(origin)) return;
  response.setHeader('access-control-allow-origin', origin);
  if (cors.credentials) response.setHeader('access-control-allow-credentials', 'true');
}

/** Answers a preflight (Fetch §3.2.2). */
export function answerPreflight(
  request: IncomingMessage,
  response: ServerResponse,
  cors: RouterConfig['cors'],
): void {
  const { origin, 'access-control-request-headers': asked } = request.headers;
  const isAllowed = cors !== undefined && origin !== undefined && cors.origins.includes(origin);
  response.writeHead(204, {
    allow: 'GET, POST, OPTIONS',
    ...(isAllowed && {
      'access-control-allow-methods': 'GET, POST',
      'access-control-allow-headers': asked ?? 'content-type',
      'access-control-max-age': String(Math.floor(cors.max_age / 1000)),
    }),
  });
  response.end();
}

function isOwnOrigin(origin: string | undefined, host: string | undefined): boolean {
  return (
    origin !== undefined &&
    host !== undefined &&
    URL.canParse(origin) &&
    new URL(origin).host === host
  );
}
