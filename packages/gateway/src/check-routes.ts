import { isIP } from 'node:net';
import {
  type ConfigPath,
  configIssue,
  type SourceDocument,
  unsupported,
} from '@countersign/config';
import { spiffeIdOf } from '@countersign/spiffe';
import { coversMatch } from './model/compile-gateway-yaml.ts';
import type { RouteConfig } from './route-config.ts';
import { type UpstreamConfig, urlsOf } from './upstream-config.ts';

type Check = () => void;

/** What is right by itself in `routes:`, and not together. Each throws a ConfigError. */
export function checkRoutes(document: SourceDocument, routes: readonly RouteConfig[]): Check[] {
  return routes.flatMap((route, index) => [
    () => checkAction(document, route, index),
    () => checkPath(document, route, index),
    ...upstreamsOf(route).flatMap(([upstream, ...at]) => {
      const path = ['routes', index, ...at];
      return [
        ...urlsOf(upstream).map(
          ({ url }) =>
            () =>
              checkOrigin(document, [...path, 'url'], url, 'http here'),
        ),
        () => checkIdentity(document, path, upstream),
      ];
    }),
    () => checkReached(document, routes, index),
  ]);
}

/** @throws ConfigError for what is no origin. @param clear whether an address of this machine may be in clear text */
export function checkOrigin(
  document: SourceDocument,
  path: ConfigPath,
  text: string,
  clear: 'http here' | 'https alone',
): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isOrigin = url !== undefined && isWrittenAsOrigin(url, text);
  if (url?.protocol === 'http:') {
    if (clear === 'http here' && isOrigin && isHere(url.hostname)) return;
    throw unsupported(document, path, `clear-text address "${text}"`);
  }
  if (isOrigin && url.protocol === 'https:') return;
  const message = `${path.join('.')}: expected https://host[:port] without a path, found "${text}"`;
  throw configIssue(document, path, 'ERR_CONFIG_VALUE', message);
}

function upstreamsOf(route: RouteConfig): (readonly [UpstreamConfig, ...(string | number)[]])[] {
  const { upstream, upstreams = [], mirror } = route;
  return [
    ...(upstream === undefined ? [] : [[upstream, 'upstream'] as const]),
    ...upstreams.map((each, i) => [each, 'upstreams', i] as const),
    ...(mirror === undefined ? [] : [[mirror, 'mirror'] as const]),
  ];
}

/** An origin with its default port spelled out is the same origin. */
function isWrittenAsOrigin(url: URL, text: string): boolean {
  if (url.origin === text || `${url.origin}/` === text) return true;
  return /^https?:\/\/[^/?#@]+:(?:443|80)\/?$/i.test(text) && url.port === '';
}

function isHere(hostname: string): boolean {
  if (hostname === 'localhost' || hostname === '[::1]') return true;
  return isIP(hostname) === 4 && hostname.startsWith('127.');
}

const actions = ['upstream', 'upstreams', 'redirect', 'respond'] as const;
const ofForwarding = [
  'rewrite',
  'requestHeaders',
  'timeout',
  'retries',
  'mirror',
  'fault',
] as const;

function checkAction(document: SourceDocument, route: RouteConfig, index: number): void {
  const path = ['routes', index];
  const chosen = actions.filter((action) => route[action] !== undefined);
  const [first, second] = chosen;
  if (first === undefined) {
    const message = `${path.join('.')}: missing, expected one of ${actions.map((each) => `"${each}"`).join(', ')}`;
    throw configIssue(document, path, 'ERR_CONFIG_VALUE', message);
  }
  if (second !== undefined) {
    const message = `${path.join('.')}.${second}: "${first}" is there as well, expected one of both`;
    throw configIssue(document, [...path, second], 'ERR_CONFIG_VALUE', message, 'key');
  }
  if (first === 'upstream' || first === 'upstreams') {
    if (first === 'upstream' || route.upstreams?.some(({ weight }) => weight > 0)) return;
    const message = `${path.join('.')}.upstreams: every weight is 0`;
    throw configIssue(document, [...path, first], 'ERR_CONFIG_VALUE', message);
  }
  const idle = ofForwarding.find((key) => route[key] !== undefined);
  if (idle === undefined) return;
  const message = `${path.join('.')}.${idle}: is for upstreams, this route has "${first}"`;
  throw configIssue(document, [...path, idle], 'ERR_CONFIG_VALUE', message, 'key');
}

function checkPath(document: SourceDocument, { match }: RouteConfig, index: number): void {
  const written = (['path', 'pathPrefix', 'pathRegex'] as const).filter(
    (key) => match[key] !== undefined,
  );
  const [first, second] = written;
  if (second === undefined) return;
  const message = `routes.${index}.match.${second}: "${first}" is there as well, expected one of both`;
  throw configIssue(document, ['routes', index, 'match', second], 'ERR_CONFIG_VALUE', message);
}

function checkIdentity(document: SourceDocument, path: ConfigPath, upstream: UpstreamConfig): void {
  const { spiffeId } = upstream;
  const urls = urlsOf(upstream).map(({ url }) => url);
  const isClear = urls.some((each) => each.startsWith('http:'));
  if (isClear && urls.some((each) => !each.startsWith('http:'))) {
    const message = `${path.join('.')}.url: some addresses are in clear text, and some are not`;
    throw configIssue(document, [...path, 'url'], 'ERR_CONFIG_VALUE', message);
  }
  const at = [...path, 'spiffeId'];
  if (isClear !== (spiffeId === undefined)) {
    const message = isClear
      ? `${at.join('.')}: nobody proves an identity in clear text`
      : `${at.join('.')}: missing, expected who must answer there`;
    throw configIssue(document, isClear ? at : path, 'ERR_CONFIG_VALUE', message);
  }
  const ids = typeof spiffeId === 'string' ? [spiffeId] : (spiffeId ?? []);
  for (const id of ids) {
    if (spiffeIdOf(id)?.toString() === id) continue;
    const message = `${at.join('.')}: expected a SPIFFE ID such as spiffe://example.com/orders, found "${id}"`;
    throw configIssue(document, at, 'ERR_CONFIG_VALUE', message);
  }
}

/** A route that an earlier one always takes first is a mistake of order. */
function checkReached(document: SourceDocument, routes: readonly RouteConfig[], at: number): void {
  const route = routes[at];
  if (route === undefined) return;
  const shadow = routes.slice(0, at).findIndex(({ match }) => coversMatch(match, route.match));
  if (shadow === -1) return;
  const message = `routes.${at} is never reached, routes.${shadow} before it takes all of its requests`;
  throw configIssue(document, ['routes', at, 'match'], 'ERR_CONFIG_VALUE', message);
}
