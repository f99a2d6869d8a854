import { readFileSync } from 'node:fs';
import { CountersignError } from '@countersign/base';
import {
  type ConfigPath,
  configIssue,
  type SourceDocument,
  unsupported,
} from '@countersign/config';
import type { HashModel, HashSource } from '../model/hash-model.ts';
import type { HeaderOperations } from '../model/header-operations.ts';
import type { HeaderMatch, PathMatch, RequestMatch } from '../model/request-match.ts';
import type {
  ForwardAction,
  RedirectAction,
  RetryCondition,
  RetryModel,
  RouteAction,
  RouteModel,
  RouteTableModel,
  TargetModel,
} from '../model/route-model.ts';
import type { TextMatch } from '../model/text-match.ts';
import type { DataSource } from './envoy-document.ts';
import type {
  Fraction,
  HeaderMatcher,
  RetryPolicy,
  RouteConfiguration,
  RouteMatch,
  WrittenAction,
  WrittenHashPolicy,
  WrittenHeaders,
  WrittenRedirect,
  WrittenRoute,
} from './envoy-route-schema.ts';
import type { StringMatcher } from './envoy-tls-schema.ts';

export interface RoutesAround {
  readonly document: SourceDocument;
  /** Of the route configuration. */
  readonly path: ConfigPath;
  /** The clusters that there are. */
  readonly clusters: ReadonlySet<string>;
}

type VirtualHost = RouteConfiguration['virtual_hosts'][number];

/** @throws ConfigError */
export function compileEnvoyRoutes(
  name: string,
  config: RouteConfiguration,
  stripsPorts: boolean,
  around: RoutesAround,
): RouteTableModel {
  checkDomains(config, around);
  const hosts = config.virtual_hosts.map((host, i) => {
    const at = { ...around, path: [...around.path, 'virtual_hosts', i] };
    return {
      name: host.name,
      domains: host.domains.map((domain) => domain.toLowerCase()),
      routes: host.routes.map((route, j) => routeOf(route, [config, host], j, at)),
      redirectsToTls: host.require_tls === 'ALL' || host.require_tls === 'EXTERNAL_ONLY',
    };
  });
  const comparesPorts = !(stripsPorts || config.ignore_port_in_host_matching === true);
  return { name, hosts, comparesPorts };
}

/** As in Envoy, no domain stands twice. */
function checkDomains(
  { virtual_hosts: hosts }: RouteConfiguration,
  { document, path }: RoutesAround,
): void {
  const known = new Set<string>();
  for (const [i, { domains }] of hosts.entries()) {
    for (const [j, domain] of domains.entries()) {
      const at = [...path, 'virtual_hosts', i, 'domains', j];
      if (known.has(domain.toLowerCase())) {
        throw configIssue(
          document,
          at,
          'ERR_CONFIG_VALUE',
          `${at.join('.')}: a second "${domain}"`,
        );
      }
      known.add(domain.toLowerCase());
    }
  }
}

function routeOf(
  route: WrittenRoute,
  [config, host]: readonly [RouteConfiguration, VirtualHost],
  index: number,
  { document, path, clusters }: RoutesAround,
): RouteModel {
  const around = { document, path: [...path, 'routes', index], clusters };
  // The most particular first, unless it is to have the last word.
  const levels: readonly WrittenHeaders[] = [route, host, config];
  const ordered =
    config.most_specific_header_mutations_wins === true ? levels.toReversed() : levels;
  return {
    name: route.name ?? `${host.name} routes.${index}`,
    match: matchOf(route.match),
    action: actionOf(route, host, ordered, around),
    responseHeaders: ordered.map((level) => operationsOf(level, 'response')),
  };
}

function matchOf(match: RouteMatch): RequestMatch {
  const headers = (match.headers ?? []).map(headerOf);
  if (match.grpc !== undefined) {
    const value = { kind: 'regex', text: 'application/grpc([+;].*)?' } as const;
    headers.push({ name: 'content-type', value });
  }
  return {
    path: pathOf(match),
    headers,
    query: (match.query_parameters ?? []).map(({ name, string_match }) => ({
      ...{
        name,
        value: string_match === undefined ? ({ kind: 'present' } as const) : textOf(string_match),
      },
    })),
  };
}

function pathOf(match: RouteMatch): PathMatch {
  const ignoreCase = match.case_sensitive === false;
  if (match.path !== undefined) return { kind: 'exact', text: match.path, ignoreCase };
  if (match.safe_regex !== undefined) return { kind: 'regex', text: match.safe_regex.regex };
  if (match.path_separated_prefix !== undefined) {
    return { kind: 'segments', text: match.path_separated_prefix, ignoreCase };
  }
  return { kind: 'prefix', text: match.prefix ?? '/', ignoreCase };
}

export function headerOf(matcher: HeaderMatcher): HeaderMatch {
  const { name, string_match, present_match = true, invert_match = false } = matcher;
  if (string_match === undefined) {
    const invert = present_match === invert_match;
    return { name: name.toLowerCase(), value: { kind: 'present' }, invert };
  }
  const value = textOf(string_match);
  // A header that is not there matches nothing, not even what must not match, unless it is taken for empty.
  const whenAbsent = matcher.treat_missing_header_as_empty === true ? invert_match : false;
  return { name: name.toLowerCase(), value, invert: invert_match, whenAbsent };
}

export function textOf({
  safe_regex,
  ignore_case: ignoreCase = false,
  ...plain
}: StringMatcher): TextMatch {
  if (safe_regex !== undefined) return { kind: 'regex', text: safe_regex.regex };
  const [kind = 'exact', text = ''] = Object.entries(plain)[0] ?? [];
  return { kind: kind as 'exact', text, ignoreCase };
}

function actionOf(
  route: WrittenRoute,
  host: VirtualHost,
  levels: readonly WrittenHeaders[],
  around: RoutesAround,
): RouteAction {
  if (route.redirect !== undefined) return redirectOf(route.redirect);
  if (route.direct_response !== undefined) {
    const { status, body } = route.direct_response;
    return { kind: 'respond', status, body: body === undefined ? '' : textIn(body, around) };
  }
  return forwardOf(route.route as WrittenAction, host, levels, around);
}

function redirectOf(redirect: WrittenRedirect): RedirectAction {
  const { regex_rewrite: regex } = redirect;
  return {
    kind: 'redirect',
    status: redirect.response_code,
    scheme: redirect.https_redirect === true ? 'https' : redirect.scheme_redirect,
    host: redirect.host_redirect,
    port: redirect.port_redirect,
    path: redirect.path_redirect,
    prefix: redirect.prefix_rewrite,
    expression: regex && { pattern: regex.pattern.regex, substitution: regex.substitution },
    dropsQuery: redirect.strip_query,
  };
}

function forwardOf(
  action: WrittenAction,
  host: VirtualHost,
  levels: readonly WrittenHeaders[],
  around: RoutesAround,
): ForwardAction {
  const policy = action.retry_policy ?? host.retry_policy;
  const retries = policy && retriesOf(policy, around);
  const mirrors = (action.request_mirror_policies ?? []).map(
    ({ cluster, runtime_fraction: share }, i) => {
      checkCluster(cluster, ['route', 'request_mirror_policies', i, 'cluster'], around);
      return { cluster, percent: share === undefined ? 100 : percentOf(share) };
    },
  );
  const { regex_rewrite: regex, idle_timeout: idleTimeoutMs } = action;
  return {
    kind: 'forward',
    targets: targetsOf(action, around),
    requestHeaders: levels.map((level) => operationsOf(level, 'request')),
    rewrite: {
      path: action.prefix_rewrite,
      expression: regex && { pattern: regex.pattern.regex, substitution: regex.substitution },
      host: action.host_rewrite_literal,
      hostOfEndpoint: action.auto_host_rewrite,
    },
    timeoutMs: action.timeout,
    ...(idleTimeoutMs !== undefined && { idleTimeoutMs }),
    ...(action.hash_policy !== undefined && { hash: action.hash_policy.flatMap(hashOf) }),
    ...(retries !== undefined && { retries }),
    ...(mirrors.length > 0 && { mirrors }),
  };
}

function hashOf(written: WrittenHashPolicy): HashModel[] {
  const of = hashSourceOf(written);
  return of === undefined ? [] : [{ of, isEnough: written.terminal ?? false }];
}

function hashSourceOf(written: WrittenHashPolicy): HashSource | undefined {
  const { header, cookie, query_parameter: query, connection_properties: connection } = written;
  if (header !== undefined) return { kind: 'header', name: header.header_name.toLowerCase() };
  if (query !== undefined) return { kind: 'query', name: query.name };
  if (cookie === undefined) return connection?.source_ip ? { kind: 'source-address' } : undefined;
  const { name, ttl, path } = cookie;
  return {
    ...{ kind: 'cookie', name },
    ...(ttl !== undefined && { ttlMs: ttl }),
    ...(path !== undefined && path !== '' && { path }),
  };
}

function targetsOf(
  { cluster, weighted_clusters: weighted }: WrittenAction,
  around: RoutesAround,
): TargetModel[] {
  if (cluster !== undefined) {
    checkCluster(cluster, ['route', 'cluster'], around);
    return [{ cluster, weight: 1 }];
  }
  const path = ['route', 'weighted_clusters', 'clusters'];
  const targets = (weighted?.clusters ?? []).map((each, i) => {
    checkCluster(each.name, [...path, i, 'name'], around);
    const { name, weight, host_rewrite_literal: host } = each;
    return {
      ...{ cluster: name, weight, requestHeaders: operationsOf(each, 'request') },
      responseHeaders: operationsOf(each, 'response'),
      ...(host !== undefined && { host }),
    };
  });
  if (targets.some(({ weight }) => weight > 0)) return targets;
  const at = [...around.path, ...path];
  throw configIssue(around.document, at, 'ERR_CONFIG_VALUE', `${at.join('.')}: every weight is 0`);
}

export function checkCluster(
  name: string,
  at: ConfigPath,
  { document, path, clusters }: RoutesAround,
): void {
  if (clusters.has(name)) return;
  const where = [...path, ...at];
  const message = `${where.join('.')}: there is no cluster "${name}"`;
  throw configIssue(document, where, 'ERR_CONFIG_VALUE', message);
}

const conditions: ReadonlySet<string> = new Set<RetryCondition>([
  ...(['5xx', 'gateway-error', 'reset', 'connect-failure', 'refused-stream'] as const),
  ...(['reset-before-request', 'envoy-ratelimited'] as const),
  ...(['retriable-4xx', 'retriable-status-codes', 'cancelled', 'deadline-exceeded'] as const),
  ...(['internal', 'resource-exhausted', 'unavailable'] as const),
]);

function retriesOf(policy: RetryPolicy, { document, path }: RoutesAround): RetryModel {
  const on = policy.retry_on.split(',').flatMap((word) => word.trim() || []);
  const unknown = on.find((word) => !conditions.has(word));
  if (unknown !== undefined) {
    throw unsupported(
      document,
      [...path, 'route', 'retry_policy', 'retry_on'],
      `retry_on "${unknown}"`,
    );
  }
  const { base_interval: backoffMs = 25, max_interval: maxBackoffMs = 10 * backoffMs } =
    policy.retry_back_off ?? {};
  return {
    ...{ attempts: policy.num_retries, perTryTimeoutMs: policy.per_try_timeout ?? 0 },
    ...{ on: on as RetryCondition[], statuses: policy.retriable_status_codes ?? [] },
    ...{ backoffMs, maxBackoffMs, avoidsTried: policy.retry_host_predicate !== undefined },
  };
}

const denominators = { HUNDRED: 100, TEN_THOUSAND: 10_000, MILLION: 1_000_000 } as const;

function percentOf({ default_value: { numerator, denominator } }: Fraction): number {
  return Math.min(100, (numerator * 100) / denominators[denominator]);
}

function operationsOf(written: WrittenHeaders, of: 'request' | 'response'): HeaderOperations {
  const added = written[`${of}_headers_to_add`] ?? [];
  const removed = written[`${of}_headers_to_remove`] ?? [];
  const linesOf = (action: (typeof added)[number]['append_action']) =>
    added
      .filter((each) => each.append_action === action)
      .map(({ header }) => [header.key, header.value] as const);
  return {
    remove: removed.map((name) => name.toLowerCase()),
    set: linesOf('OVERWRITE_IF_EXISTS_OR_ADD'),
    add: linesOf('APPEND_IF_EXISTS_OR_ADD'),
    addIfAbsent: linesOf('ADD_IF_ABSENT'),
  };
}

function textIn(
  { filename, inline_string: text = '' }: DataSource,
  { document, path }: RoutesAround,
): string {
  if (filename === undefined) return text;
  try {
    return readFileSync(filename, 'utf8');
  } catch (thrown) {
    const { code = '' } = thrown as { readonly code?: string };
    const message = `${path.join('.')}: read "${filename}": ${code}`;
    if (code === '') throw new CountersignError('ERR_FILE', message, { cause: thrown });
    throw configIssue(document, path, 'ERR_CONFIG_VALUE', message);
  }
}
