import { type CorsTest, corsTest } from './cors.ts';
import type { HeaderOperations } from './header-operations.ts';
import { type PathRewrite, pathRewrite, type WrittenRewrite } from './path-rewrite.ts';
import { type RequestTest, type RoutedRequest, requestTest } from './request-match.ts';
import type {
  ForwardAction,
  RouteAction,
  RouteModel,
  RouteTableModel,
  TargetModel,
} from './route-model.ts';

/** A route with everything made ready that a request asks of it. */
export interface Route {
  readonly model: RouteModel;
  readonly matches: RequestTest;
  /** What an upstream is asked for, or where a client is redirected to; absent: the same path. */
  readonly rewrite: PathRewrite | undefined;
  /** What pages of other origins may read; undefined: the upstream says it. */
  readonly cors: CorsTest | undefined;
  /** Of an action that forwards. */
  readonly targets: readonly Target[];
  readonly totalWeight: number;
}

export interface Target {
  readonly model: TargetModel;
  readonly requestHeaders: readonly HeaderOperations[];
  readonly responseHeaders: readonly HeaderOperations[];
  /** What the upstream is told; undefined: what the client wrote. */
  readonly host: string | undefined;
}

interface Host {
  readonly name: string;
  readonly routes: readonly Route[];
  readonly redirectsToTls: boolean;
}

export type Routed =
  | { readonly kind: 'route'; readonly route: Route }
  | { readonly kind: 'tls' }
  | undefined;

/**
 * Which route takes a request: the virtual host with the most specific domain, in it the first route that matches. A
 * virtual host that has none does not pass the request on to another.
 */
export class RouteTable {
  readonly model: RouteTableModel;
  readonly #exact = new Map<string, Host>();
  /** Longest first. */
  readonly #suffixes: (readonly [suffix: string, host: Host])[] = [];
  readonly #prefixes: (readonly [prefix: string, host: Host])[] = [];
  #others: Host | undefined;

  /** @throws SyntaxError for an expression that is none */
  constructor(model: RouteTableModel) {
    this.model = model;
    for (const written of model.hosts) {
      const host: Host = {
        name: written.name,
        routes: written.routes.map(compileRoute),
        redirectsToTls: written.redirectsToTls ?? false,
      };
      for (const domain of written.domains) this.#add(domain, host);
    }
    const longestFirst = (a: readonly [string, Host], b: readonly [string, Host]) =>
      b[0].length - a[0].length;
    this.#suffixes.sort(longestFirst);
    this.#prefixes.sort(longestFirst);
  }

  find(request: RoutedRequest): Routed {
    const { head } = request;
    const host = this.#hostOf(
      this.model.comparesPorts === true ? head.authority.toLowerCase() : head.host,
    );
    if (host === undefined) return undefined;
    if (host.redirectsToTls && request.scheme === 'http') return { kind: 'tls' };
    for (const route of host.routes) {
      if (route.matches(request)) return { kind: 'route', route };
    }
    return undefined;
  }

  #hostOf(name: string): Host | undefined {
    const exact = this.#exact.get(name);
    if (exact !== undefined) return exact;
    for (const [suffix, host] of this.#suffixes) {
      if (name.length > suffix.length && name.endsWith(suffix)) return host;
    }
    for (const [prefix, host] of this.#prefixes) {
      if (name.length > prefix.length && name.startsWith(prefix)) return host;
    }
    return this.#others;
  }

  /** Of two virtual hosts with the same domain the first counts; compilers refuse that where their language does. */
  #add(domain: string, host: Host): void {
    if (domain === '*') this.#others ??= host;
    else if (domain.startsWith('*')) this.#suffixes.push([domain.slice(1), host]);
    else if (domain.endsWith('*')) this.#prefixes.push([domain.slice(0, -1), host]);
    else if (!this.#exact.has(domain)) this.#exact.set(domain, host);
  }
}

/** @param random from 0 to 1, asked only where there is a choice */
export function targetOf(
  { targets, totalWeight }: Route,
  random: () => number,
): Target | undefined {
  if (targets.length < 2) return targets[0];
  let left = random() * totalWeight;
  for (const target of targets) {
    left -= target.model.weight;
    if (left < 0) return target;
  }
  return targets.findLast(({ model }) => model.weight > 0);
}

function compileRoute(model: RouteModel): Route {
  const { action, responseHeaders = [] } = model;
  const targets = action.kind === 'forward' ? targetsOf(action, responseHeaders) : [];
  return {
    model,
    matches: requestTest(model.match),
    rewrite: pathRewrite(model.match.path, rewriteOf(action)),
    cors: model.cors && corsTest(model.cors),
    targets,
    totalWeight: targets.reduce((sum, target) => sum + target.model.weight, 0),
  };
}

function rewriteOf(action: RouteAction): WrittenRewrite {
  if (action.kind === 'redirect') return action;
  if (action.kind !== 'forward') return {};
  return { prefix: action.rewrite?.path, expression: action.rewrite?.expression };
}

/** The most particular first, as Envoy does it. */
function targetsOf(action: ForwardAction, responseHeaders: readonly HeaderOperations[]): Target[] {
  return action.targets.map((model) => ({
    model,
    requestHeaders: [model.requestHeaders ?? [], action.requestHeaders ?? []].flat(),
    responseHeaders: [model.responseHeaders ?? [], responseHeaders].flat(),
    host: model.host ?? action.rewrite?.host,
  }));
}
