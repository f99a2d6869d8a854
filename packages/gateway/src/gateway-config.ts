import { meshSchema } from '@countersign/authz';
import { messageOf, parseDuration } from '@countersign/base';
import {
  checkAll,
  configIssue,
  durationSchema,
  parseConfigText,
  readDocument,
  type SourceDocument,
  unsupported,
} from '@countersign/config';
import { checkRevocationConfig, revocationSchema } from '@countersign/revocation';
import { spiffeIdOf } from '@countersign/spiffe';
import { parseNoteKey } from '@countersign/wire';
import { z } from 'zod';
import {
  addressSchema,
  checkListeners,
  type ListenerConfig,
  listenerSchema,
  listenSchema,
  portSchema,
} from './listener-config.ts';
import { checkProviders, providerSchema } from './provider-config.ts';

/** `gateway.yaml`, read and checked. Durations are milliseconds, sizes bytes. */
export interface GatewayConfig
  extends Omit<z.output<typeof gatewaySchema>, 'listen' | 'listeners'> {
  /** At least one; the one of `listen` has the name "gateway". */
  readonly listeners: readonly [ListenerConfig, ...ListenerConfig[]];
}
export type RouteConfig = GatewayConfig['routes'][number];
export type UpstreamConfig = RouteConfig['upstream'];
export type GatewayLimits = GatewayConfig['limits'];

const duration = (fallback: string) => durationSchema().default(parseDuration(fallback));
const count = (fallback: number, most: number) => z.int().min(1).max(most).default(fallback);

const upstreamSchema = z.strictObject({
  /** `https://host[:port]`, without a path. */
  url: z.string(),
  /** Who must answer there: one, or any of several. */
  spiffeId: z.union([z.string(), z.array(z.string()).min(1)]),
  /**
   * The version of HTTP that it is spoken to: `auto` is what it chooses. HTTP/1.1 where nothing is said, and HTTP/2 for
   * gRPC.
   */
  protocol: z.enum(['h1', 'h2', 'auto']).optional(),
  /** Until the head of the response; 504 then. 0 waits for ever. A gRPC call has its own deadline as well. */
  timeout: duration('30s'),
  /** Between two pieces of the response body; 0 waits for ever. */
  idleTimeout: duration('5m'),
  connectTimeout: duration('5s'),
  /** Open connections to this upstream; further requests wait for one. */
  maxConnections: count(256, 65_536),
});

const routeSchema = z.strictObject({
  match: z.strictObject({
    /** Whole segments: `/api` covers `/api` and `/api/x`, not `/apix`. */
    pathPrefix: z.string().startsWith('/').default('/'),
    /** Host header without the port, case ignored; every host where absent. */
    host: z.string().min(1).toLowerCase().optional(),
  }),
  upstream: upstreamSchema,
});

const limitsSchema = z.strictObject({
  /** Open client connections, handshakes included; further ones are dropped. */
  maxConnections: count(10_000, 1_000_000),
  /** Request line and headers together; 431 beyond. */
  maxHeaderBytes: z.int().min(1024).max(1_048_576).default(16_384),
  /** Requests at the same time on one HTTP/2 connection. */
  maxConcurrentStreams: count(100, 10_000),
  /** Request body; 413 beyond. Bodies are streamed, never held, so that there is no limit unless one is given. */
  maxBodyBytes: z.int().min(0).optional(),
  handshakeTimeout: duration('10s'),
  /** For the head of a request, once it began; 408 then. */
  headersTimeout: duration('10s'),
  /** For a whole request, body included; 0 waits for ever. */
  requestTimeout: duration('5m'),
  /** A client connection without a request is closed after this. */
  idleTimeout: duration('60s'),
  /** A client connection on which no byte moves while a request is under way is closed after this; 0 waits for ever. */
  stallTimeout: duration('5m'),
  /** What a response in flight may still take once its client's certificate has expired. */
  expiryGrace: duration('30s'),
  /** What requests in flight may still take at shutdown. */
  drainTimeout: duration('10s'),
});

/** What policies are read by. */
const authorizationSchema = z.strictObject({
  /** As in Istio's MeshConfig; the trust domain is that of the own identity unless given. */
  mesh: meshSchema.prefault({}),
  /** Which workload this is, for policies that select. Absent: one that selects is refused. */
  workload: z
    .strictObject({
      namespace: z.string().min(1),
      labels: z.record(z.string(), z.string()).default({}),
    })
    .optional(),
  /** `as-istio`: no further than Envoy normalises them. */
  paths: z.enum(['every-reading', 'as-istio']).default('every-reading'),
  /** Whom CUSTOM policies ask. */
  providers: z.array(providerSchema).max(64).default([]),
  /** A file of identities and their roles, tenant and rate class, relative to this one. */
  roles: z.string().min(1).optional(),
});

const gatewaySchema = z.strictObject({
  /** The listener, where there is one. */
  listen: listenSchema.optional(),
  /** Several, instead of `listen`. */
  listeners: z.array(listenerSchema).min(1).max(64).optional(),
  /** Where /metrics and /healthz are served, in clear text: keep it to the machine. Absent: nowhere. */
  admin: z
    .strictObject({ address: addressSchema.default('127.0.0.1'), port: portSchema.default(0) })
    .optional(),
  /** The authority whose revocation feed is followed. */
  ca: z.string().optional(),
  /** Policy files, relative to this one. */
  policies: z.array(z.string().min(1)).default([]),
  authorization: authorizationSchema.prefault({}),
  /** Asked in file order; the first match takes the request. */
  routes: z.array(routeSchema).default([]),
  revocation: revocationSchema.prefault({}),
  /** Peers must have certificates that the authority's issuance log has. Absent: it is not asked. */
  issuanceLog: z
    .strictObject({
      /** `NAME+ID+BASE64`, as `countersign log show` prints it. */
      key: z.string().max(1024),
      /** How long an admission waits for a proof. */
      wait: duration('5s'),
      /** What becomes of a peer while nobody can be asked: a certificate that was proved once stays so. */
      onSilence: z.enum(['refuse', 'allow']).default('refuse'),
    })
    .optional(),
  limits: limitsSchema.prefault({}),
});

/**
 * Reads `gateway.yaml`. Relative paths in it are left as written.
 *
 * @param file as the operator named it, for messages
 * @throws ConfigError with every issue of the schema, or every one across keys
 */
export function parseGatewayConfig(text: string, file: string): GatewayConfig {
  const document = parseConfigText(text, file);
  const { listen, listeners: several, ...config } = readDocument(gatewaySchema, document);
  const { routes, authorization, ca, revocation, issuanceLog } = config;
  const listeners = listenersOf(listen, several);
  checkAll(file, [
    () => checkListened(document, listeners, { listen, several }),
    () => checkRouted(document, listeners, routes),
    ...routes.flatMap(({ upstream }, index) => [
      () => checkOrigin(document, ['routes', index, 'upstream', 'url'], upstream.url),
      () => checkUpstream(document, upstream, index),
      () => checkReached(document, routes, index),
    ]),
    () => checkProviders(document, authorization.providers),
    () => ca !== undefined && checkOrigin(document, ['ca'], ca),
    () => checkRevocationConfig(document, ['revocation'], revocation),
    () => issuanceLog !== undefined && checkLogKey(document, issuanceLog.key),
  ]);
  return { ...config, listeners };
}

interface WrittenListeners {
  readonly listen: z.output<typeof listenSchema> | undefined;
  readonly several: readonly ListenerConfig[] | undefined;
}

function checkRouted(
  document: SourceDocument,
  listeners: GatewayConfig['listeners'],
  routes: readonly RouteConfig[],
): void {
  if (routes.length > 0 || listeners.every(({ protocol }) => protocol === 'tcp')) return;
  const path = document.value !== null && 'routes' in Object(document.value) ? ['routes'] : [];
  const message = 'routes: missing, a listener that speaks HTTP goes by them';
  throw configIssue(document, path, 'ERR_CONFIG_VALUE', message);
}

function checkListened(
  document: SourceDocument,
  listeners: GatewayConfig['listeners'],
  { listen, several }: WrittenListeners,
): void {
  if (listen !== undefined && several !== undefined) {
    const message = 'listeners: "listen" is there as well, expected one of both';
    throw configIssue(document, ['listeners'], 'ERR_CONFIG_VALUE', message);
  }
  checkListeners(document, several === undefined ? ['listen'] : ['listeners'], listeners);
}

function listenersOf(
  listen: WrittenListeners['listen'],
  several: WrittenListeners['several'],
): GatewayConfig['listeners'] {
  const one = { name: 'gateway', ...(listen ?? listenSchema.parse({})) };
  const [first = one, ...others] = several ?? [];
  return [first, ...others];
}

/** The address of an upstream, as it is dialled. */
export function addressOf(upstream: UpstreamConfig): {
  readonly host: string;
  readonly port: number;
} {
  const url = new URL(upstream.url);
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 443 : Number(url.port),
  };
}

export function spiffeIdsOf(upstream: UpstreamConfig): readonly string[] {
  return typeof upstream.spiffeId === 'string' ? [upstream.spiffeId] : upstream.spiffeId;
}

function checkUpstream(document: SourceDocument, upstream: UpstreamConfig, index: number): void {
  const path = ['routes', index, 'upstream'];
  for (const id of spiffeIdsOf(upstream)) {
    if (spiffeIdOf(id)?.toString() === id) continue;
    const message = `${[...path, 'spiffeId'].join('.')}: expected a SPIFFE ID such as spiffe://example.com/orders, found "${id}"`;
    throw configIssue(document, [...path, 'spiffeId'], 'ERR_CONFIG_VALUE', message);
  }
}

function checkLogKey(document: SourceDocument, key: string): void {
  try {
    parseNoteKey(key);
  } catch (thrown) {
    const message = `issuanceLog.key: ${messageOf(thrown)}`;
    throw configIssue(document, ['issuanceLog', 'key'], 'ERR_CONFIG_VALUE', message);
  }
}

function checkOrigin(document: SourceDocument, path: (string | number)[], text: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'http:') throw unsupported(document, path, `clear-text address "${text}"`);
  const isOrigin = url !== undefined && (url.origin === text || `${url.origin}/` === text);
  if (isOrigin && url.protocol === 'https:') return;
  // An origin with its default port spelled out is the same origin.
  if (isOriginWithDefaultPort(url, text)) return;
  const message = `${path.join('.')}: expected https://host[:port] without a path, found "${text}"`;
  throw configIssue(document, path, 'ERR_CONFIG_VALUE', message);
}

function isOriginWithDefaultPort(url: URL | undefined, text: string): boolean {
  return url?.protocol === 'https:' && /^https:\/\/[^/?#@]+:443\/?$/i.test(text);
}

/** A route that an earlier one always takes first is a mistake of order. */
function checkReached(document: SourceDocument, routes: readonly RouteConfig[], at: number): void {
  const route = routes[at];
  if (route === undefined) return;
  const shadow = routes.slice(0, at).findIndex(({ match }) => {
    const sameHosts = match.host === undefined || match.host === route.match.host;
    return sameHosts && isUnder(match.pathPrefix, route.match.pathPrefix);
  });
  if (shadow === -1) return;
  const message = `routes.${at} is never reached, routes.${shadow} before it takes all of its requests`;
  throw configIssue(document, ['routes', at, 'match'], 'ERR_CONFIG_VALUE', message);
}

/** Whether `path` lies under `prefix`, by whole segments. */
export function isUnder(prefix: string, path: string): boolean {
  if (!path.startsWith(prefix)) return false;
  return prefix.endsWith('/') || path.length === prefix.length || path[prefix.length] === '/';
}
