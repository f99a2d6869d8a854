import type { ListenerConfig } from '../listener-config.ts';
import { compileRateLimits } from '../rate-limits/rate-limit-config.ts';
import type { HeadersConfig, RouteConfig, TextConfig } from '../route-config.ts';
import { ClusterNames } from './compile-upstreams.ts';
import type { CorsModel } from './cors.ts';
import type { GatewayModel } from './gateway-model.ts';
import type { HeaderOperations } from './header-operations.ts';
import type { ChainModel, ListenerModel } from './listener-model.ts';
import { isUnder, type PathMatch, type RequestMatch } from './request-match.ts';
import type { ForwardAction, RouteAction, RouteModel, VirtualHostModel } from './route-model.ts';
import type { TextMatch } from './text-match.ts';

/** The part of gateway.yaml that says who is met where, and what is sent on. */
export interface WrittenRouting {
  readonly listeners: readonly [ListenerConfig, ...ListenerConfig[]];
  readonly routes: readonly RouteConfig[];
}

const tableName = 'gateway';

/** What gateway.yaml means; it was checked before. */
export function compileGatewayYaml({ listeners, routes }: WrittenRouting): GatewayModel {
  const clusters = new ClusterNames();
  const compiled = routes.map((route, index) => compileRoute(route, index, clusters));
  const hosts = [...new Set(routes.map(({ match }) => match.host ?? '*'))];
  const table = { name: tableName, hosts: hosts.map((host) => hostOf(host, routes, compiled)) };
  const [first, ...others] = listeners.map((listener) => compileListener(listener, clusters));
  return {
    listeners: [first as ListenerModel, ...others],
    tables: [table],
    clusters: clusters.all(),
    identities: [],
    trusts: [],
  };
}

/** Routes are asked in file order whatever their hosts, so that each host has all that could be for it. */
function hostOf(
  host: string,
  routes: readonly RouteConfig[],
  compiled: readonly RouteModel[],
): VirtualHostModel {
  const concerned = compiled.filter((_, i) => coversHost(routes[i]?.match.host, host));
  return { name: host, domains: [host], routes: concerned };
}

/** Whether every request for `inner` is one for `outer`; absent is every host. */
export function coversHost(outer: string | undefined, inner: string | undefined): boolean {
  if (outer === undefined || outer === inner) return true;
  return outer.startsWith('*.') && (inner ?? '').endsWith(outer.slice(1));
}

/** Whether every request that `inner` takes is one that `outer` takes; only what is plain is told. */
export function coversMatch(outer: RouteConfig['match'], inner: RouteConfig['match']): boolean {
  const narrows =
    outer.methods !== undefined ||
    Object.keys(outer.headers).length > 0 ||
    Object.keys(outer.query).length > 0 ||
    outer.path !== undefined ||
    outer.pathRegex !== undefined;
  if (narrows || inner.pathRegex !== undefined || !coversHost(outer.host, inner.host)) return false;
  if (inner.ignorePathCase && !outer.ignorePathCase) return (outer.pathPrefix ?? '/') === '/';
  return isUnder(outer.pathPrefix ?? '/', inner.path ?? inner.pathPrefix ?? '/');
}

function compileRoute(route: RouteConfig, index: number, clusters: ClusterNames): RouteModel {
  const { responseHeaders } = route;
  return {
    name: `routes.${index}`,
    match: compileMatch(route.match),
    action: compileAction(route, clusters),
    ...compileRateLimits(route.rateLimits, `routes.${index}`),
    ...(route.cors !== undefined && { cors: corsOf(route.cors) }),
    ...(responseHeaders !== undefined && { responseHeaders: [operationsOf(responseHeaders)] }),
  };
}

function compileMatch(match: RouteConfig['match']): RequestMatch {
  const { methods, headers, query } = match;
  const named = (values: Readonly<Record<string, TextConfig>>, lower: boolean) =>
    Object.entries(values).map(([name, value]) => {
      const isAbsent = typeof value === 'object' && 'present' in value && !value.present;
      return { name: lower ? name.toLowerCase() : name, value: textOf(value), invert: isAbsent };
    });
  return {
    path: pathOf(match),
    ...(methods !== undefined && { method: anyOf(methods) }),
    headers: named(headers, true),
    query: named(query, false),
  };
}

function pathOf({
  path,
  pathPrefix = '/',
  pathRegex,
  ignorePathCase,
}: RouteConfig['match']): PathMatch {
  if (pathRegex !== undefined) {
    return { kind: 'regex', text: ignorePathCase ? `(?i)${pathRegex}` : pathRegex };
  }
  const ignoreCase = ignorePathCase;
  if (path !== undefined) return { kind: 'exact', text: path, ignoreCase };
  return { kind: 'segments', text: pathPrefix, ignoreCase };
}

function anyOf(words: readonly string[]): TextMatch {
  const [only] = words;
  if (words.length === 1 && only !== undefined) return { kind: 'exact', text: only };
  return { kind: 'regex', text: words.join('|') };
}

function textOf(value: TextConfig): TextMatch {
  if (typeof value === 'string') return { kind: 'exact', text: value };
  if ('present' in value) return { kind: 'present' };
  const [kind = 'exact', text = ''] = Object.entries(value)[0] ?? [];
  return { kind: kind as 'exact', text };
}

function corsOf({ maxAge, expose, ...cors }: NonNullable<RouteConfig['cors']>): CorsModel {
  return {
    origins: cors.origins.map(textOf),
    methods: cors.methods?.join(','),
    headers: cors.headers?.join(','),
    exposes: expose?.join(','),
    maxAge: maxAge === undefined ? undefined : String(Math.floor(maxAge / 1000)),
    credentials: cors.credentials,
  };
}

function compileAction(route: RouteConfig, clusters: ClusterNames): RouteAction {
  const { redirect, respond } = route;
  if (redirect !== undefined) return { kind: 'redirect', ...redirect };
  if (respond !== undefined) return { kind: 'respond', ...respond };
  return compileForward(route, clusters);
}

function compileForward(route: RouteConfig, clusters: ClusterNames): ForwardAction {
  const { upstream, upstreams = [], rewrite, requestHeaders, timeout, mirror, fault } = route;
  const targets = [...(upstream === undefined ? [] : [{ weight: 1, ...upstream }]), ...upstreams];
  const { delay, abort } = fault ?? {};
  return {
    kind: 'forward',
    targets: targets.map(({ weight, ...each }) => ({ cluster: clusters.of(each), weight })),
    ...(rewrite !== undefined && { rewrite }),
    ...(requestHeaders !== undefined && { requestHeaders: [operationsOf(requestHeaders)] }),
    ...(timeout !== undefined && { timeoutMs: timeout }),
    ...(route.retries !== undefined && { retries: retriesOf(route.retries) }),
    ...(mirror !== undefined && { mirrors: [mirrorOf(mirror, clusters)] }),
    ...(fault !== undefined && {
      fault: {
        ...(delay !== undefined && { delay: { ms: delay.time, percent: delay.percent } }),
        ...(abort !== undefined && { abort }),
      },
    }),
  };
}

function retriesOf({ attempts, perTryTimeout, on, statuses }: NonNullable<RouteConfig['retries']>) {
  return {
    ...{ attempts, perTryTimeoutMs: perTryTimeout, statuses, avoidsTried: true },
    on: [...on, ...(statuses.length > 0 ? (['retriable-status-codes'] as const) : [])],
    ...{ backoffMs: 25, maxBackoffMs: 250 },
  };
}

function mirrorOf({ percent, ...to }: NonNullable<RouteConfig['mirror']>, clusters: ClusterNames) {
  return { cluster: clusters.of(to), percent };
}

function operationsOf({ remove, set, add }: HeadersConfig): HeaderOperations {
  return {
    remove: remove.map((name) => name.toLowerCase()),
    set: Object.entries(set),
    add: Object.entries(add),
  };
}

function compileListener(listener: ListenerConfig, clusters: ClusterNames): ListenerModel {
  const { name, address, port, protocol, clientAuth, minVersion, proxyProtocol, upstream } =
    listener;
  const chain: ChainModel = {
    ...{ name, serverNames: [], protocol },
    ...compileRateLimits(listener.rateLimits, name),
    ...(listener.callerHeaders !== undefined && { callerHeaders: listener.callerHeaders }),
    ...(listener.signHops === true && { signsHops: true }),
    tls: { clientAuth, minVersion, identity: 'own', trust: 'own' },
    ...(upstream === undefined ? { table: tableName } : { cluster: clusters.ofTunnel(upstream) }),
  };
  return {
    ...{ name, address, port, chains: [chain] },
    ...(proxyProtocol !== undefined && { proxyProtocolFrom: proxyProtocol.from }),
  };
}
