import { meshSchema } from '@countersign/authz';
import { messageOf, parseDuration } from '@countersign/base';
import {
  checkAll,
  configIssue,
  durationSchema,
  issuerSchema,
  parseConfigText,
  readDocument,
  type SourceDocument,
} from '@countersign/config';
import { checkRevocationConfig, revocationSchema } from '@countersign/revocation';
import { parseNoteKey } from '@countersign/wire';
import { z } from 'zod';
import { namesOfCallers, plainName } from './caller-headers.ts';
import { checkOrigin, checkRoutes } from './check-routes.ts';
import { meshProviders } from './external/mesh-providers.ts';
import {
  addressSchema,
  checkListeners,
  type ListenerConfig,
  listenerSchema,
  listenSchema,
  portSchema,
} from './listener-config.ts';
import { compileGatewayYaml } from './model/compile-gateway-yaml.ts';
import type { GatewayModel } from './model/gateway-model.ts';
import { checkProviders, providerSchema } from './provider-config.ts';
import { routeSchema } from './route-config.ts';

/** `gateway.yaml`, read and checked. Durations are milliseconds, sizes bytes. */
export interface GatewayConfig
  extends Omit<z.output<typeof gatewaySchema>, 'listen' | 'listeners'> {
  /** At least one; the one of `listen` has the name "gateway". */
  readonly listeners: readonly [ListenerConfig, ...ListenerConfig[]];
  /** Whether `listen` or `listeners` was written. */
  readonly writesListeners: boolean;
  /** What listeners and routes mean. */
  readonly model: GatewayModel;
}
export type GatewayLimits = GatewayConfig['limits'];

const duration = (fallback: string) => durationSchema().default(parseDuration(fallback));
const count = (fallback: number, most: number) => z.int().min(1).max(most).default(fallback);

const limitsSchema = z.strictObject({
  /** Open client connections, handshakes included; further ones are dropped. */
  maxConnections: count(10_000, 1_000_000),
  /** Request line and headers together; 431 beyond. */
  maxHeaderBytes: z.int().min(1024).max(1_048_576).default(16_384),
  /** Requests at the same time on one HTTP/2 connection. */
  maxConcurrentStreams: count(100, 10_000),
  /** Request body; 413 beyond. Bodies are streamed, never held, so that there is no limit unless one is given. */
  maxBodyBytes: z.int().min(0).optional(),
  /** Handshakes under way at the same time, of each listener; further connections are dropped. */
  maxHandshakes: count(2000, 1_000_000),
  /** Requests of one identity under way at the same time, over all of its connections; 429 beyond. */
  maxRequestsPerIdentity: count(5000, 1_000_000),
  /** How late the process may come to its work; beyond it requests get 503, the more the later it is. 0: never. */
  maxLateness: duration('1s'),
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

/** `gateway.yaml`. */
export const gatewaySchema = z.strictObject({
  /** The listener, where there is one. */
  listen: listenSchema.optional(),
  /** Several, instead of `listen`. */
  listeners: z.array(listenerSchema).min(1).max(64).optional(),
  /** Where the admin pages are served, in clear text: keep it to the machine. Absent: nowhere. */
  admin: z
    .strictObject({
      address: addressSchema.default('127.0.0.1'),
      port: portSchema.default(0),
      /** Instead of both: a Unix socket for its owner's processes. */
      socket: z.string().startsWith('/', 'expected an absolute path').optional(),
      /** Whether the log's level may be set and a shutdown begun there. Absent: no. */
      changes: z.boolean().optional(),
    })
    .optional(),
  /** The authority whose revocation feed is followed. */
  ca: z.string().optional(),
  /** Somebody else's authority or agent that the own identity comes from, instead of `ca`. */
  issuer: issuerSchema.optional(),
  /** Policy files, relative to this one. */
  policies: z.array(z.string().min(1)).default([]),
  authorization: authorizationSchema.prefault({}),
  /** Istio's documents instead of `routes`, and of listeners where one is a Gateway; files relative to this one. */
  istio: z.array(z.string().min(1)).default([]),
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
  const { routes, ca, revocation, issuanceLog } = config;
  const authorization = withMeshProviders(document, config.authorization);
  const listeners = listenersOf(listen, several);
  checkAll(file, [
    () => checkListened(document, listeners, { listen, several }),
    () => checkRouted(document, listeners, config),
    () => checkCallersKept(document, listeners, config.routes),
    ...checkRoutes(document, routes),
    () => checkProviders(document, authorization.providers),
    () => ca !== undefined && checkOrigin(document, ['ca'], ca, 'https alone'),
    () => checkRevocationConfig(document, ['revocation'], revocation),
    () => checkIssuer(document, config),
    () => issuanceLog !== undefined && checkLogKey(document, issuanceLog.key),
  ]);
  const writesListeners = listen !== undefined || several !== undefined;
  return {
    ...config,
    authorization,
    listeners,
    writesListeners,
    model: compileGatewayYaml({ listeners, routes }),
  };
}

function withMeshProviders(
  document: SourceDocument,
  authorization: z.output<typeof authorizationSchema>,
): z.output<typeof authorizationSchema> {
  const { mesh, providers } = authorization;
  const ofMesh = meshProviders(document, mesh.extensionProviders ?? []);
  return ofMesh.length === 0
    ? authorization
    : { ...authorization, providers: [...providers, ...ofMesh] };
}

/** What only an authority of ours has does not go with somebody else's. */
export function checkIssuer(
  document: SourceDocument,
  {
    issuer,
    ca,
    revocation,
    issuanceLog,
  }: Pick<z.output<typeof gatewaySchema>, 'issuer' | 'ca' | 'revocation' | 'issuanceLog'>,
): void {
  if (issuer === undefined) return;
  const fail = (message: string) => {
    throw configIssue(document, ['issuer'], 'ERR_CONFIG_VALUE', `issuer: ${message}`, 'key');
  };
  if (ca !== undefined) fail('"ca" is there as well, expected one of both');
  if (issuanceLog !== undefined) fail('"issuanceLog" needs a "ca"');
  if (!revocation.method.includes('feed')) return;
  fail('revocation.method is feed, which needs a "ca"; choose crl, ocsp, staple or lifetime');
}

/** The usual listener, without a route. */
export function emptyModel(): GatewayModel {
  return compileGatewayYaml({ listeners: listenersOf(undefined, undefined), routes: [] });
}

/**
 * What gateway.yaml says by saying nothing, for routing that is written in another language.
 *
 * @param written what is said all the same
 */
export function gatewayConfigOf(
  model: GatewayModel,
  written: Pick<z.input<typeof gatewaySchema>, 'revocation' | 'admin' | 'issuer'> = {},
): GatewayConfig {
  const config = gatewaySchema.parse(written);
  const listeners = listenersOf(undefined, undefined);
  return { ...config, listeners, writesListeners: false, model };
}

/** The same with another port for the first listener, as the command line may say. */
export function withFirstPort(config: GatewayConfig, port: number): GatewayConfig {
  const [first, ...others] = config.listeners;
  const [firstModel, ...otherModels] = config.model.listeners;
  return {
    ...config,
    listeners: [{ ...first, port }, ...others],
    model: { ...config.model, listeners: [{ ...firstModel, port }, ...otherModels] },
  };
}

interface WrittenListeners {
  readonly listen: z.output<typeof listenSchema> | undefined;
  readonly several: readonly ListenerConfig[] | undefined;
}

function checkRouted(
  document: SourceDocument,
  listeners: GatewayConfig['listeners'],
  { routes, istio }: Pick<GatewayConfig, 'routes' | 'istio'>,
): void {
  if (istio.length > 0) {
    if (routes.length === 0) return;
    const message = 'routes: "istio" is there as well, expected one of both';
    throw configIssue(document, ['routes'], 'ERR_CONFIG_VALUE', message);
  }
  if (routes.length > 0 || listeners.every(({ protocol }) => protocol === 'tcp')) return;
  const path = document.value !== null && 'routes' in Object(document.value) ? ['routes'] : [];
  const message = 'routes: missing, a listener that speaks HTTP goes by them';
  throw configIssue(document, path, 'ERR_CONFIG_VALUE', message);
}

/** A route that writes what a caller is told of by would speak for it. */
function checkCallersKept(
  document: SourceDocument,
  listeners: GatewayConfig['listeners'],
  routes: GatewayConfig['routes'],
): void {
  const names = namesOfCallers(listeners.map(({ callerHeaders }) => callerHeaders));
  for (const [index, { requestHeaders }] of routes.entries()) {
    for (const way of ['set', 'add'] as const) {
      const name = Object.keys(requestHeaders?.[way] ?? {}).find((each) =>
        names.has(plainName(each)),
      );
      if (name === undefined) continue;
      const path = ['routes', index, 'requestHeaders', way, name];
      const message = `${path.join('.')}: is one of "callerHeaders", which only the handshake says`;
      throw configIssue(document, path, 'ERR_CONFIG_VALUE', message);
    }
  }
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

export function checkLogKey(document: SourceDocument, key: string): void {
  try {
    parseNoteKey(key);
  } catch (thrown) {
    const message = `issuanceLog.key: ${messageOf(thrown)}`;
    throw configIssue(document, ['issuanceLog', 'key'], 'ERR_CONFIG_VALUE', message);
  }
}
