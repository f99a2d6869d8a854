import { type ConfigPath, configIssue, unsupported } from '@countersign/config';
import type { CorsModel } from '../model/cors.ts';
import type { HeaderOperations } from '../model/header-operations.ts';
import { isHost } from '../model/header-schema.ts';
import type { HeaderMatch, PathMatch, RequestMatch } from '../model/request-match.ts';
import type {
  FaultModel,
  ForwardAction,
  MirrorModel,
  RetryCondition,
  RetryModel,
  RouteAction,
  RouteModel,
  TargetModel,
} from '../model/route-model.ts';
import type { TextMatch } from '../model/text-match.ts';
import type { Destinations } from './compile-destination.ts';
import type { IstioDocument } from './istio-document.ts';
import type {
  CorsPolicy,
  HeaderChanges,
  HttpMatch,
  HttpRoute,
  StringMatch,
  VirtualServiceSpec,
} from './virtual-service-schema.ts';

/** Where a route is written, and what it leads to. */
export interface RouteSurroundings {
  readonly document: IstioDocument<VirtualServiceSpec>;
  readonly destinations: Destinations;
  /** Whether a match that names gateways is for the one that is compiled. */
  readonly isHere: (gateways: readonly string[] | undefined) => boolean;
}

/**
 * What `spec.http[index]` means: a route for each of its matches, in order.
 *
 * @throws ConfigError
 */
export function compileHttpRoute(
  route: HttpRoute,
  index: number,
  around: RouteSurroundings,
): RouteModel[] {
  const { document } = around;
  const path = ['spec', 'http', index];
  const { match: written = [] } = route;
  const all: readonly HttpMatch[] = written.length === 0 ? [{}] : written;
  const matches = all.filter(({ gateways }) => around.isHere(gateways));
  if (matches.length === 0) return [];
  const name = `${document.namespace}/${document.name}${route.name === undefined ? '' : ` ${route.name}`} http.${index}`;
  const action = actionOf(route, path, around);
  const response = operationsOf(route.headers?.response);
  const cors = route.corsPolicy && corsOf(route.corsPolicy);
  return matches.map((match) => ({
    ...{ name, action, match: matchOf(match) },
    ...(cors !== undefined && { cors }),
    ...(response !== undefined && { responseHeaders: [response] }),
  }));
}

function corsOf(written: CorsPolicy): CorsModel {
  const { allowOrigins = [], allowOrigin = [], maxAge, allowCredentials } = written;
  const old = allowOrigin.map(
    (text): TextMatch => (text === '*' ? { kind: 'prefix', text: '' } : { kind: 'exact', text }),
  );
  return {
    origins: allowOrigins.length > 0 ? allowOrigins.map(originOf) : old,
    methods: written.allowMethods?.join(','),
    headers: written.allowHeaders?.join(','),
    exposes: written.exposeHeaders?.join(','),
    maxAge: maxAge === undefined ? undefined : String(Math.floor(maxAge / 1000)),
    credentials: allowCredentials ?? false,
    keepsUnmatched: written.unmatchedPreflights === 'IGNORE',
  };
}

/** `*` alone is any, in Istio as in Envoy. */
function originOf(written: StringMatch): TextMatch {
  return written?.exact === '*' ? { kind: 'prefix', text: '' } : textOf(written);
}

function matchOf(match: HttpMatch): RequestMatch {
  const { method, scheme, authority, port } = match;
  return {
    path: pathOf(match.uri, match.ignoreUriCase ?? false),
    ...(method !== undefined && { method: textOf(method) }),
    ...(scheme !== undefined && { scheme: textOf(scheme) }),
    ...(authority !== undefined && { authority: textOf(authority) }),
    ...(port !== undefined && { port }),
    headers: [
      ...Object.entries(match.headers ?? {}).map(([name, value]) => headerOf(name, value, false)),
      ...Object.entries(match.withoutHeaders ?? {}).map(([name, value]) =>
        headerOf(name, value, true),
      ),
    ],
    query: Object.entries(match.queryParams ?? {}).map(([name, value]) => ({
      ...{ name, value: textOf(value) },
    })),
  };
}

function headerOf(name: string, value: StringMatch, invert: boolean): HeaderMatch {
  return { name: name.toLowerCase(), value: textOf(value), invert };
}

function pathOf(uri: StringMatch | undefined, ignoreCase: boolean): PathMatch {
  const { exact, prefix, regex } = uri ?? {};
  if (exact !== undefined) return { kind: 'exact', text: exact, ignoreCase };
  // Case is ignored in what is plain alone.
  if (regex !== undefined) return { kind: 'regex', text: regex };
  return { kind: 'prefix', text: prefix ?? '/', ignoreCase };
}

function textOf(value: StringMatch): TextMatch {
  const { exact, prefix, regex } = value ?? {};
  if (exact !== undefined) return { kind: 'exact', text: exact };
  if (prefix !== undefined) return { kind: 'prefix', text: prefix };
  return regex === undefined ? { kind: 'present' } : { kind: 'regex', text: regex };
}

function actionOf(route: HttpRoute, path: ConfigPath, around: RouteSurroundings): RouteAction {
  const { redirect, directResponse } = route;
  const { source } = around.document;
  const kinds = (['route', 'redirect', 'directResponse'] as const).filter(
    (kind) => route[kind] !== undefined,
  );
  const [first, second] = kinds;
  if (first === undefined || second !== undefined) {
    const found = second === undefined ? 'none' : `"${first}" and "${second}"`;
    const message = `${path.join('.')}: expected one of route, redirect and directResponse, found ${found}`;
    throw configIssue(source, path, 'ERR_CONFIG_VALUE', message);
  }
  if (redirect !== undefined) {
    const { uri, authority, port, derivePort, scheme, redirectCode = 301 } = redirect;
    if (derivePort === 'FROM_REQUEST_PORT') {
      throw unsupported(source, [...path, 'redirect', 'derivePort'], 'FROM_REQUEST_PORT');
    }
    return { kind: 'redirect', status: redirectCode, path: uri, host: authority, port, scheme };
  }
  if (directResponse !== undefined) {
    const { status, body } = directResponse;
    const bytes = body?.bytes === undefined ? undefined : Buffer.from(body.bytes, 'base64');
    return { kind: 'respond', status, body: body?.string ?? bytes?.toString('utf8') ?? '' };
  }
  return forwardOf(route, path, around);
}

function forwardOf(route: HttpRoute, path: ConfigPath, around: RouteSurroundings): ForwardAction {
  const { rewrite, timeout, fault } = route;
  const mirrors = mirrorsOf(route, path, around);
  const requestHeaders = operationsOf(route.headers?.request);
  const retries = retriesOf(route, path, around);
  const host = rewrite?.authority ?? hostOf(route.headers?.request);
  return {
    kind: 'forward',
    targets: targetsOf(route, path, around),
    ...(requestHeaders !== undefined && { requestHeaders: [requestHeaders] }),
    ...((rewrite !== undefined || host !== undefined) && {
      rewrite: {
        path: rewrite?.uri,
        host,
        ...(rewrite?.uriRegexRewrite !== undefined && {
          expression: {
            pattern: rewrite.uriRegexRewrite.match,
            substitution: rewrite.uriRegexRewrite.rewrite,
          },
        }),
      },
    }),
    ...(timeout !== undefined && { timeoutMs: timeout }),
    ...(retries !== undefined && { retries }),
    ...(mirrors.length > 0 && { mirrors }),
    ...(fault !== undefined && { fault: faultOf(fault, path, around) }),
  };
}

function targetsOf(route: HttpRoute, path: ConfigPath, around: RouteSurroundings): TargetModel[] {
  const { document, destinations } = around;
  const written = route.route ?? [];
  const isOnly = written.length === 1;
  const targets = written.map(({ destination, weight = isOnly ? 100 : 0, headers }, i) => {
    const at = [...path, 'route', i];
    const requestHeaders = operationsOf(headers?.request);
    const responseHeaders = operationsOf(headers?.response);
    const host = hostOf(headers?.request);
    return {
      ...{
        cluster: destinations.of(destination, { document, path: [...at, 'destination'] }),
        weight,
      },
      ...(requestHeaders !== undefined && { requestHeaders }),
      ...(responseHeaders !== undefined && { responseHeaders }),
      ...(host !== undefined && { host }),
    };
  });
  if (targets.some(({ weight }) => weight > 0)) return targets;
  const message = `${path.join('.')}.route: every weight is 0`;
  throw configIssue(document.source, [...path, 'route'], 'ERR_CONFIG_VALUE', message);
}

function mirrorsOf(route: HttpRoute, path: ConfigPath, around: RouteSurroundings): MirrorModel[] {
  const { document, destinations } = around;
  const { mirror, mirrors = [], mirrorPercentage, mirrorPercent } = route;
  const usual = mirrorPercentage?.value ?? mirrorPercent ?? 100;
  const all = [
    ...(mirror === undefined ? [] : [{ to: mirror, percent: usual, at: ['mirror'] }]),
    ...mirrors.map(({ destination, percentage }, i) => ({
      ...{ to: destination, percent: percentage?.value ?? 100, at: ['mirrors', i, 'destination'] },
    })),
  ];
  return all.map(({ to, percent, at }) => {
    const cluster = destinations.of(to, { document, path: [...path, ...at] });
    return { cluster, percent };
  });
}

/** A host among what is set is the request's own, as in Istio. */
function hostOf(changes: HeaderChanges | undefined): string | undefined {
  return Object.entries(changes?.set ?? {}).find(([name]) => isHost(name))?.[1];
}

function operationsOf(changes: HeaderChanges | undefined): HeaderOperations | undefined {
  if (changes === undefined) return undefined;
  const { remove = [], set = {}, add = {} } = changes;
  return {
    remove: remove.map((name) => name.toLowerCase()),
    set: Object.entries(set).filter(([name]) => !isHost(name)),
    add: Object.entries(add),
  };
}

const usualConditions = 'connect-failure,refused-stream,unavailable,cancelled';
const conditions: ReadonlySet<string> = new Set<RetryCondition>([
  ...(['5xx', 'gateway-error', 'reset', 'connect-failure', 'refused-stream'] as const),
  ...(['reset-before-request', 'envoy-ratelimited'] as const),
  ...(['retriable-4xx', 'retriable-status-codes', 'cancelled', 'deadline-exceeded'] as const),
  ...(['internal', 'resource-exhausted', 'unavailable'] as const),
]);

/** Without a word about retries Istio makes two, where nothing can have happened yet. */
function retriesOf(
  { retries }: HttpRoute,
  path: ConfigPath,
  { document }: RouteSurroundings,
): RetryModel | undefined {
  const { attempts = 2, perTryTimeout = 0, retryOn, backoff = 25 } = retries ?? {};
  if (attempts === 0) return undefined;
  const words = (retryOn || usualConditions).split(',').map((word) => word.trim());
  const statuses = words.filter((word) => /^[1-5]\d\d$/.test(word)).map(Number);
  const on = words.filter((word) => !/^\d+$/.test(word) && word !== '');
  const unknown = on.find((word) => !conditions.has(word));
  if (unknown !== undefined) {
    throw unsupported(document.source, [...path, 'retries', 'retryOn'], `retryOn "${unknown}"`);
  }
  if (statuses.length > 0) on.push('retriable-status-codes');
  return {
    ...{ attempts, perTryTimeoutMs: perTryTimeout, on: on as RetryCondition[], statuses },
    ...{ backoffMs: Math.max(1, backoff), maxBackoffMs: 10 * Math.max(1, backoff) },
    avoidsTried: retries?.retryIgnorePreviousHosts ?? true,
  };
}

function faultOf(
  { delay, abort }: NonNullable<HttpRoute['fault']>,
  path: ConfigPath,
  { document }: RouteSurroundings,
): FaultModel {
  const grpcStatus = abort?.grpcStatus === undefined ? undefined : grpcStatusOf(abort.grpcStatus);
  if (
    abort !== undefined &&
    (Number.isNaN(grpcStatus) || (abort.httpStatus ?? grpcStatus) === undefined)
  ) {
    const at = [...path, 'fault', 'abort'];
    const message = `${at.join('.')}: expected httpStatus, or grpcStatus such as UNAVAILABLE`;
    throw configIssue(document.source, at, 'ERR_CONFIG_VALUE', message);
  }
  return {
    ...(delay !== undefined && {
      delay: { ms: delay.fixedDelay, percent: delay.percentage?.value ?? delay.percent ?? 100 },
    }),
    ...(abort !== undefined && {
      abort: {
        status: abort.httpStatus ?? 503,
        ...(grpcStatus !== undefined && { grpcStatus }),
        percent: abort.percentage?.value ?? 100,
      },
    }),
  };
}

const grpcNames = [
  ...['OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND'],
  ...['ALREADY_EXISTS', 'PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION'],
  ...['ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS'],
  'UNAUTHENTICATED',
];

/** NaN for what is no status. */
function grpcStatusOf(text: string): number {
  const at = grpcNames.indexOf(text.toUpperCase());
  if (at !== -1) return at;
  return /^(?:\d|1[0-6])$/.test(text) ? Number(text) : Number.NaN;
}
