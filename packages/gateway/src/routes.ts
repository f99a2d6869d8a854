import type { RouteConfig } from './gateway-config.ts';
import { isUnder } from './gateway-config.ts';
import { Upstream, type UpstreamSurroundings } from './upstream/upstream.ts';

export interface Route {
  readonly match: RouteConfig['match'];
  readonly upstream: Upstream;
}

/** The first route in file order that covers the request, or undefined. @param host lowercase, without the port */
export function routeOf(routes: readonly Route[], host: string, path: string): Route | undefined {
  return routes.find(({ match }) => {
    if (match.host !== undefined && match.host !== host) return false;
    return isUnder(match.pathPrefix, path);
  });
}

/** Routes with their upstreams; an upstream of `known` whose configuration is the same is kept, connections and all. */
export function openRoutes(
  configs: readonly RouteConfig[],
  around: UpstreamSurroundings,
  known: readonly Route[] = [],
): Route[] {
  const upstreams = new Map(known.map(({ upstream }) => [keyOf(upstream.config), upstream]));
  return configs.map(({ match, upstream: config }) => {
    const key = keyOf(config);
    const upstream = upstreams.get(key) ?? new Upstream(config, around);
    upstreams.set(key, upstream);
    return { match, upstream };
  });
}

/** Upstreams of `routes` that none of `kept` uses any more. */
export function upstreamsOf(routes: readonly Route[], kept: readonly Route[] = []): Upstream[] {
  const still = new Set(kept.map(({ upstream }) => upstream));
  return [...new Set(routes.map(({ upstream }) => upstream))].filter((one) => !still.has(one));
}

function keyOf(config: RouteConfig['upstream']): string {
  return JSON.stringify(config);
}
