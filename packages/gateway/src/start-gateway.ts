import { randomBytes } from 'node:crypto';
import {
  allowUnknownRevocation,
  type ExternalAuthorizer,
  type RoleMapping,
  type RuleSet,
  type TokenRule,
} from '@countersign/authz';
import { type Clock, CountersignError, type Log, type Meter } from '@countersign/base';
import {
  addReports,
  type ConnectionScope,
  type CutReport,
  followChanges,
  isAnonymous,
  type LiveConnection,
  LiveConnections,
} from '@countersign/mtls';
import type {
  BundleSource,
  RevocationSource,
  RevocationStatus,
  SvidSource,
  VerifiedPeer,
} from '@countersign/spiffe';
import { X509Svid } from '@countersign/spiffe';
import { isLoopback } from './admin/admin-callers.ts';
import type { AdminView } from './admin/admin-pages.ts';
import { gatewayView } from './admin/gateway-view.ts';
import type { LogLevelControl } from './admin/log-level.ts';
import { type AdminServer, startAdminServer } from './admin-server.ts';
import { chooseFront } from './client/choose-front.ts';
import type { ClientExchange } from './client/client-exchange.ts';
import { createH2Front } from './client/h2-front.ts';
import { createHttpFront } from './client/http-front.ts';
import { type BoundListener, ClientListeners } from './client-listeners.ts';
import { watchExpiry } from './expiry-watch.ts';
import { openAuthorizers } from './external/open-authorizers.ts';
import { Credentials } from './files/credentials.ts';
import type { GatewayConfig } from './gateway-config.ts';
import { gatewayMetrics } from './gateway-metrics.ts';
import { identityStatus, unwell } from './gateway-status.ts';
import { handleRequest } from './handle-request.ts';
import { handleTunnel } from './handle-tunnel.ts';
import { LoopLateness } from './load/loop-lateness.ts';
import { RequestLoad } from './load/request-load.ts';
import type { LoggedPeers } from './logged-peers.ts';
import type { GatewayModel } from './model/gateway-model.ts';
import { RouteTable } from './model/route-table.ts';
import { watchOwnRevocation } from './own-revocation.ts';
import { answerProblem } from './problem-response.ts';
import { RateLimits } from './rate-limits/rate-limits.ts';
import { askUpstream, type Facts, reaskClient, reaskUpstream, type Trust } from './reask.ts';
import type { MixedPorts } from './sidecar/mixed-ports.ts';
import { type OutboundOptions, openOutbound } from './sidecar/open-outbound.ts';
import { TokenDesk } from './tokens/token-desk.ts';
import {
  type Clusters,
  openClusters,
  reportClusters,
  retiredClusters,
} from './upstream/clusters.ts';
import { type Resolve, resolveAddresses } from './upstream/resolve-addresses.ts';
import { upstreamMetrics } from './upstream/upstream-metrics.ts';

export interface GatewayOptions {
  readonly config: GatewayConfig;
  readonly rules: RuleSet;
  /** What identities are beside their names, for rules and for upstreams. */
  readonly roles?: RoleMapping | undefined;
  /** What each port before an application takes now, and who is told who came how; absent: mTLS alone. */
  readonly mixedPorts?: MixedPorts;
  /** Whose tokens are believed, and where they are looked for: RequestAuthentication for this workload. */
  readonly tokenRules?: readonly TokenRule[];
  /** Whom CUSTOM policies ask about requests, by the name of the provider, beside those of the configuration. */
  readonly authorizers?: ReadonlyMap<string, ExternalAuthorizer>;
  /** Our own identity, shown to clients and to upstreams; absent where all that is shown is named by the model. */
  readonly svids?: SvidSource | undefined;
  /** Who vouches for peers, where the model names nobody else; absent: nobody. */
  readonly bundles?: BundleSource | undefined;
  /**
   * When it tells of changes, every open connection is asked about again. What it has to look up of a peer, an admission
   * and a dial wait for.
   */
  readonly revocation: RevocationSource;
  /** What is known of our own certificate; `revocation` is asked unless given. */
  readonly ownRevocation?: (self: VerifiedPeer) => RevocationStatus;
  /** Requires of every peer that its certificate is in the issuance log; it is stopped by its owner. */
  readonly loggedPeers?: LoggedPeers;
  /** How often it is looked whether the files of identities and trusts have changed; every second unless given. */
  readonly lookEveryMs?: number | undefined;
  /** What still has to happen before anybody can be let in, for /healthz; undefined: nothing. */
  readonly notReady?: () => string | undefined;
  /** The OCSP response to staple with an identity, asked at each handshake whose client asks for it. */
  readonly staple?: (svid: X509Svid) => Uint8Array | undefined;
  /** What the admin port's /status says of revocation: the methods, how fresh they are, and what is let through. */
  readonly revocationReport?: () => object;
  /** Prometheus text for the admin port's /metrics. */
  readonly metricsText?: () => string | Promise<string>;
  /** The log's level, for the admin page that shows and sets it. */
  readonly logLevel?: LogLevelControl;
  /** What the admin page for draining begins: what SIGTERM does. */
  readonly onDrain?: () => void;
  /** Look-up ids of refusals; random unless given. */
  readonly newId?: () => string;
  /** From 0 to 1, for shares of requests; `Math.random` unless given. */
  readonly random?: () => number;
  /** Every address of a name, for clusters whose endpoints they are; the system's resolver unless given. */
  readonly resolve?: Resolve;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

/** What a reload puts in force; what is absent stays. */
export interface GatewayChange {
  readonly config?: GatewayConfig;
  readonly rules?: RuleSet;
  readonly tokenRules?: readonly TokenRule[];
  readonly roles?: RoleMapping | undefined;
}

export interface GatewayStats {
  readonly connections: number;
  readonly upstreamConnections: number;
  readonly requestsInFlight: number;
}

export interface Gateway {
  /** Of the first listener. */
  readonly url: string;
  readonly port: number;
  /** All of them, in the order of the configuration. */
  readonly listeners: readonly BoundListener[];
  readonly adminUrl: string | undefined;
  /**
   * Asks about every open connection and request again, in both directions, and destroys those that are no longer
   * allowed, within this turn. Called by itself when a source tells of changes.
   *
   * @param scope only connections of this peer
   */
  recheck(scope?: ConnectionScope): CutReport;
  /** How many open connections, in both directions, are with peers of whom this holds. */
  countOpen(concerns: (peer: VerifiedPeer) => boolean): number;
  /**
   * Puts new rules, or the routes of a new configuration, in force and re-asks; all of it or nothing.
   *
   * @throws CountersignError ERR_GATEWAY_RESTART when anything else of the configuration differs, ERR_SVID_NONE
   */
  reload(next: GatewayChange): CutReport;
  stats(): GatewayStats;
  /** Takes what has been put into the files of the model's identities and trusts since, at once. */
  refresh(): Promise<void>;
  /** Stops accepting, lets requests in flight end for the drain time-out, then closes everything. */
  close(): Promise<void>;
}

/**
 * Accept → handshake → peer → permit → route → forward → watch. The handshake is the listener's (mtls), a request is
 * `handleRequest`'s; this wires both to the facts that admit and cut.
 *
 * @throws CountersignError ERR_LISTEN, ERR_SVID_NONE, ERR_TLS_CONTEXT, ERR_JWT_KEYS, ERR_GATEWAY_TOKEN_HEADER
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { svids, bundles = nobody, revocation, loggedPeers, clock, log, meter } = options;
  let { config, rules, roles } = options;
  const { limits } = config;
  const newId = options.newId ?? (() => randomBytes(8).toString('hex'));
  const check = options.ownRevocation ?? ((self) => revocation.check(self));
  const ownRefusal =
    svids === undefined
      ? () => undefined
      : watchOwnRevocation({ svids, bundles, check, clock, log });
  const trust: Trust = { bundles, revocation, profile: 'svid' };
  const credentials = await Credentials.open({
    ...{ model: config.model, svids, trust, lookEveryMs: options.lookEveryMs, clock, log },
  });
  const tokens = new TokenDesk(options.tokenRules ?? [], { clock, log });
  const facts: Facts = {
    ownRefusal,
    rules: () => rules,
    roles: () => roles,
    authorizers: () => authorizers,
    tokens,
    revocation,
    bundles,
    unlogged: loggedPeers && ((peer) => loggedPeers.wrongWith(peer)),
    unknownRevocation: config.revocation.onUnknown === 'allow' ? allowUnknownRevocation : 'refuse',
    clock,
  };

  /** What is looked up of a peer before it is judged; each has its own bound. */
  const prepare: NonNullable<RevocationSource['prepare']> = (peer, met) => {
    const known = [revocation.prepare?.(peer, met), loggedPeers?.prepare(peer)];
    const pending = known.filter((each) => each !== undefined);
    return pending.length === 0 ? undefined : Promise.all(pending).then(() => {});
  };

  // 1. Upstreams: pools that dial on demand.
  const outbound = new LiveConnections({ name: 'upstream', clock, log, meter });
  const outboundTrusts = new WeakMap<LiveConnection, Trust>();
  const around = {
    ...{ credentials, prepare, clock, log, connections: outbound, trusts: outboundTrusts },
    allowed: (peer: VerifiedPeer, by: Trust) => askUpstream(facts, peer, by),
  };
  const random = options.random ?? Math.random;
  const clustered = {
    ...{ ...around, random, resolve: options.resolve ?? resolveAddresses },
    metrics: upstreamMetrics(meter),
  };
  const asked = openAuthorizers(config.authorization.providers, clustered);
  const authorizers = new Map<string, ExternalAuthorizer>([
    ...asked,
    ...(options.authorizers ?? []),
  ]);
  let clusters: Clusters = openClusters(config.model.clusters, clustered);
  let tables = tablesOf(config.model);

  // 2. Requests, on connections that the listeners hand on, refused ones included: those are told so.
  let stopping = false;
  const metrics = gatewayMetrics(meter);
  const lateness = new LoopLateness(clock);
  const load = new RequestLoad({
    maxPerIdentity: limits.maxRequestsPerIdentity,
    maxLatenessMs: limits.maxLateness,
    ...{ latenessMs: () => lateness.ms, random },
  });
  const rateLimits = new RateLimits({ roles: () => roles, clock, meter });
  const surroundings = {
    ...{ facts, clock, log, newId, random, metrics, rateLimits },
    tables: () => tables,
    clusters: () => clusters,
    isStopping: () => stopping,
    ...{ maxBodyBytes: limits.maxBodyBytes, load },
  };
  const onExchange = (client: ClientExchange): void => {
    handleRequest(surroundings, client).catch((thrown) => {
      const id = newId();
      log.error({ id, err: thrown }, 'request failed');
      if (client.response.headersSent) return void client.response.destroy();
      const cause = { code: 'ERR_INTERNAL', detail: '' } as const;
      answerProblem(client, { ...cause, id, audience: 'stranger', close: true });
    });
  };
  const fronts = {
    h1: createHttpFront({ limits, newId, log, onExchange }),
    h2: createH2Front({ limits, clock, log, onExchange }),
  };

  // 3. Handshakes, and tunnels for listeners that pass bytes through.
  const passBytes: OutboundOptions['onTunnel'] = (session, name, told) => {
    const cluster = clusters.get(name);
    if (cluster === undefined) return void session.live.socket.destroy();
    const { opened: onOpened, failed: onFailed } = told ?? {};
    void handleTunnel({ facts, cluster, metrics, onOpened, onFailed, clock, log }, session);
  };
  const outward = await openOutbound(config.model, {
    resolve: async (host) => (await clustered.resolve(host, false)).addresses,
    ...{ limits, newId, onExchange, onTunnel: passBytes, clock, log },
    onHttp: (session) => chooseFront(fronts, session.live.socket, session, limits, clock),
  });
  const clients = new ClientListeners({
    ...{ listeners: config.model.listeners, facts, credentials, prepare, clock, log, meter },
    mixedPorts: options.mixedPorts,
    handshakeTimeoutMs: limits.handshakeTimeout,
    ...{ maxConnections: limits.maxConnections, maxHandshakes: limits.maxHandshakes },
    staple: (svid) => (svid instanceof X509Svid ? options.staple?.(svid) : undefined),
    onHttp(socket, from) {
      chooseFront(fronts, socket, from, limits, clock);
    },
    onTunnel: passBytes,
    onOutbound: outward?.take,
  });

  // 4. Watch: the facts that admitted are asked about again whenever one of them changes.
  const isBusy = (connection: LiveConnection) =>
    (clients.sessionOf(connection)?.inFlight.size ?? 0) > 0;
  function recheck(scope: ConnectionScope = {}): CutReport {
    const inbound = reaskClient(facts, (connection) => clients.sessionOf(connection));
    return addReports(
      clients.reask(inbound, scope),
      outbound.reask(
        reaskUpstream(facts, (connection) => outboundTrusts.get(connection)),
        scope,
      ),
    );
  }
  // One turn later, so that who caused the change and re-asks itself is told what was cut.
  const unfollow = followChanges([revocation, bundles, credentials, loggedPeers ?? {}], () =>
    queueMicrotask(() => recheck()),
  );
  const watching = new AbortController();
  const everything = () => [...clients, ...outbound];
  const watch = { connections: everything, isBusy, graceMs: limits.expiryGrace, clock, log };
  void watchExpiry(watch, watching.signal);

  /** What this gateway is doing, and by what rules. */
  const statusOf = () => ({
    identity: identityStatus(options),
    ...(config.model.identities.length > 0 && { certificates: credentials.report() }),
    connections: { clients: clients.count(), upstreams: outbound.count() },
    listeners: clients.report(),
    ...(options.mixedPorts?.report !== undefined && { readiness: options.mixedPorts.report() }),
    upstreams: reportClusters(clusters),
    revocation: options.revocationReport?.() ?? { onUnknown: config.revocation.onUnknown },
    ...(loggedPeers !== undefined && { issuanceLog: loggedPeers.report() }),
  });
  const stop = async (drainMs: number): Promise<void> => {
    // Facts are followed to the end: a response that is let finish is cut all the same when its caller is revoked.
    await clients.close(drainMs);
    unfollow();
    credentials.stop();
    watching.abort();
    lateness.stop();
    for (const front of [...Object.values(fronts), outward]) front?.close();
    await Promise.all([...clusters.values()].map((each) => each.destroy()));
    await Promise.all([...asked.values()].map((authorizer) => authorizer.destroy()));
    await tokens.destroy();
    outbound.destroyAll();
  };
  const [bound, admin] = await open(stop, async () => {
    const listening = await clients.listen();
    const unwellReason = () =>
      ownRefusal()?.detail ?? options.notReady?.() ?? unwell(options, credentials);
    const view = gatewayView({
      ...{ config: () => config, rules: () => rules, credentials, hasOwn: svids !== undefined },
      ...{ connections: everything, sessionOf: (each) => clients.sessionOf(each), clock },
      ...{ logLevel: options.logLevel, drain: options.onDrain },
      unready: () => (stopping ? 'shutting down' : unwellReason()),
    });
    return [listening, await startAdmin(options, { statusOf, unwellReason, view })] as const;
  });
  const urls = bound.map(({ url }) => url);
  log.info({ urls, adminUrl: admin?.url, routes: countRoutes(config.model) }, 'gateway listens');

  return {
    url: bound[0].url,
    listeners: bound,
    adminUrl: admin?.url,
    port: bound[0].port,
    recheck,
    countOpen: (concerns) =>
      everything().filter(({ peer }) => !isAnonymous(peer) && concerns(peer)).length,
    reload(next) {
      if (next.config !== undefined) checkReloadable(config, next.config);
      const model = next.config?.model ?? config.model;
      const nextTables = tablesOf(model);
      const nextClusters = openClusters(model.clusters, clustered, clusters);
      if (next.tokenRules !== undefined) tokens.use(next.tokenRules);
      const retired = retiredClusters(clusters, nextClusters);
      config = next.config ?? config;
      rules = next.rules ?? rules;
      if ('roles' in next) roles = next.roles;
      tables = nextTables;
      outward?.reload(model);
      rateLimits.retain(model);
      clusters = nextClusters;
      for (const cluster of retired) {
        cluster.close().catch((thrown) => log.debug({ err: thrown }, 'retired upstream broke'));
      }
      log.info({ routes: countRoutes(model) }, 'configuration and rules in force');
      return recheck();
    },
    stats: () => ({
      connections: clients.count(),
      upstreamConnections: outbound.count(),
      requestsInFlight: [...clients.sessions()].reduce((sum, each) => sum + each.inFlight.size, 0),
    }),
    refresh: () => credentials.look(),
    async close() {
      stopping = true;
      await stop(limits.drainTimeout);
      await admin?.close();
    },
  };
}

function tablesOf({ tables }: GatewayModel): ReadonlyMap<string, RouteTable> {
  return new Map(tables.map((each) => [each.name, new RouteTable(each)]));
}

function countRoutes({ tables }: GatewayModel): number {
  const hosts = tables.flatMap((table) => table.hosts);
  return new Set(hosts.flatMap(({ routes }) => routes)).size;
}

/** What cannot be opened leaves nothing open. */
async function open<T>(
  stop: (drainMs: number) => Promise<void>,
  all: () => Promise<T>,
): Promise<T> {
  try {
    return await all();
  } catch (thrown) {
    await stop(0);
    throw thrown;
  }
}

async function startAdmin(
  options: GatewayOptions,
  shown: {
    readonly statusOf: () => object;
    readonly unwellReason: () => string | undefined;
    readonly view: AdminView;
  },
): Promise<AdminServer | undefined> {
  const { admin } = options.config;
  if (admin === undefined) return undefined;
  if (admin.socket === undefined && !isLoopback(admin.address)) {
    const told = 'admin port is open to more than this machine: it shows no details';
    options.log.warn({ address: admin.address }, told);
  }
  const { log, metricsText } = options;
  const { statusOf: status, unwellReason: unwell, view } = shown;
  return startAdminServer({ ...admin, log, metricsText, unwell, status, view });
}

function checkReloadable(old: GatewayConfig, next: GatewayConfig): void {
  for (const key of ['listeners', 'identities', 'trusts'] as const) {
    if (JSON.stringify(old.model[key]) === JSON.stringify(next.model[key])) continue;
    throw new CountersignError('ERR_GATEWAY_RESTART', `"${key}" of the configuration has changed`, {
      fields: { key },
    });
  }
  const [before, after] = [old, next].map(({ authorization }) => authorization.providers);
  if (JSON.stringify(before) !== JSON.stringify(after)) {
    const message = '"authorization.providers" of the configuration has changed';
    throw new CountersignError('ERR_GATEWAY_RESTART', message, {
      fields: { key: 'authorization.providers' },
    });
  }
  for (const key of ['admin', 'ca', 'revocation', 'issuanceLog', 'limits'] as const) {
    if (JSON.stringify(old[key]) === JSON.stringify(next[key])) continue;
    throw new CountersignError('ERR_GATEWAY_RESTART', `"${key}" of the configuration has changed`, {
      fields: { key },
    });
  }
}

const nobody: BundleSource = { bundle: () => undefined };
