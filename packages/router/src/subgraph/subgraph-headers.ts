import type { IncomingHttpHeaders } from 'node:http';
import { isIdentityHeader } from '@countersign/wire';
import type { SubgraphSettings } from './subgraph-client.ts';

/** Headers that are this hop's, whatever the configuration says. */
const reserved = new Set([
  'accept',
  'accept-encoding',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'expect',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/**
 * What a subgraph is sent beside the body by the rules of the configuration, names and values alternating. Nothing that
 * the caller says of an identity gets through; who it is, proved by us, is put behind.
 */
export function subgraphHeaders(
  { setHeaders, propagate }: Pick<SubgraphSettings, 'setHeaders' | 'propagate'>,
  received: IncomingHttpHeaders,
): string[] {
  const headers = [
    ...['content-type', 'application/json'],
    ...['accept', 'application/graphql-response+json, application/json;q=0.9'],
  ];
  for (const name of propagate) {
    const value = received[name];
    if (value === undefined || reserved.has(name) || isIdentityHeader(name)) continue;
    headers.push(name, Array.isArray(value) ? value.join(', ') : value);
  }
  headers.push(...setHeaders);
  return headers;
}
