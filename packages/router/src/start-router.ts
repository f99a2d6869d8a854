import { randomBytes, randomInt } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Clock, CountersignError, type Log, type Meter } from '@countersign/base';
import {
  addReports,
  type ConnectionScope,
  type CutReport,
  followChanges,
  isAnonymous,
  LiveConnections,
  stillAnchored,
} from '@countersign/mtls';
import type { BundleSource, RevocationSource, SvidSource, VerifiedPeer } from '@countersign/spiffe';
import { SignatureCache } from '@countersign/x509';
import { CallerHeaders } from './caller-of.ts';
import { type OpenTokens, openTokens } from './claims/open-tokens.ts';
import type { RouterConfig } from './config/router-config.ts';
import type { ReadBytes } from './grpc/grpc-subgraph.ts';
import { allowOrigin, answerPreflight } from './http/cross-site.ts';
import { type BrowserPages, browserPages, type PageFile, pageRoot } from './http/graphiql-page.ts';
import { answerRefusal, handleGraphql } from './http/handle-graphql.ts';
import { createHttpFront } from './http/http-front.ts';
import { acceptedTypes } from './http/negotiate.ts';
import { OpenSubscriptions } from './http/open-subscriptions.ts';
import { OperationStore } from './http/operation-store.ts';
import { wrong } from './http/read-request.ts';
import { openWebSocketDoor } from './http/web-socket.ts';
import { judgePeer } from './judge-peer.ts';
import { closeFresh, openEngine } from './open-engine.ts';
import { type Caller, matchesPrincipal } from './operation/caller.ts';
import type { RouterEngine } from './router-engine.ts';
import { type FrontDoor, openFrontDoor } from './router-listen.ts';
import { routerMetrics } from './router-metrics.ts';
import type { Subgraph } from './subgraph/subgraph.ts';
import type { SubgraphStatus } from './subgraph/subgraph-client.ts';
import type { Trust } from './subgraph/subgraph-pool.ts';
import { tellRefused } from './telemetry/tell-operation.ts';

export interface RouterOptions {
  readonly config: RouterConfig;
  /** Our own identity, shown to subgraphs and to clients. */
  readonly svids: SvidSource;
  /** Others that are shown to some subgraphs, by the subgraph's name. */
  readonly svidsOf?: ReadonlyMap<string, SvidSource>;
  readonly bundles: BundleSource;
  /** When it tells of changes, every open connection is asked about again. */
  readonly revocation: RevocationSource;
  /** What /health/mtls says of our own certificate. */
  readonly mtlsStatus: () => object;
  /** Reads a file that the configuration names. */
  readonly readText: (path: string) => Promise<string>;
  readonly readBytes: ReadBytes;
  /** Prometheus text. */
  readonly metricsText?: () => string | Promise<string>;
  /** Look-up ids of failures; random unless given. */
  readonly newId?: () => string;
  /** From 0 to below 100; random unless given. */
  readonly draw?: () => number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

export interface Router {
  /** Origin; operations go to `listen.path` there. */
  readonly url: string;
  readonly port: number;
  readonly engine: RouterEngine;
  /** Asks about every open connection again, in both directions, and destroys those that are no longer allowed. */
  recheck(scope?: ConnectionScope): CutReport;
  /** How many open connections are with peers of whom this holds. */
  countOpen(concerns: (peer: VerifiedPeer) => boolean): number;
  /**
   * Puts a new configuration, and the supergraph as it is now, in force; all of it or nothing. Operations under way end
   * on the old one.
   *
   * @throws CountersignError ERR_ROUTER_RESTART, ERR_ROUTER_SUPERGRAPH
   */
  reload(next: RouterConfig): Promise<void>;
  status(): RouterStatus;
  close(): Promise<void>;
}

export interface RouterStatus {
  readonly router: object;
  readonly subgraphs: readonly SubgraphStatus[];
  readonly connections: { readonly clients: number; readonly subgraphs: number };
}

const drainMs = 10_000;
/** What was begun on an engine that is replaced has reached it by then. */
const retireMs = 1000;

/**
 * Trust → subgraphs → supergraph → engine → front door. Each request's story is `handleGraphql`'s.
 *
 * @throws CountersignError ERR_ROUTER_*, ERR_LISTEN, ERR_SVID_NONE
 */
export async function startRouter(options: RouterOptions): Promise<Router> {
  const { svids, bundles, revocation, clock, log, meter } = options;
  const newId = options.newId ?? (() => randomBytes(8).toString('hex'));
  const draw = options.draw ?? (() => randomInt(100_000_000) / 1_000_000);
  const closing = new AbortController();
  let { config } = options;

  // 1. Trust: how subgraphs are called, and who may be talked to at all.
  const outbound = new LiveConnections({ name: 'subgraph', clock, log, meter });
  const trust: Trust = {
    ...{ svids, bundles, revocation, connections: outbound, clock, log },
    signatures: new SignatureCache(),
    allowed: (peer) => judgePeer(peer, revocation, clock.now()),
  };
  const { svidsOf, readBytes } = options;
  const calling = { trust, svidsOf, meter, readBytes };

  // 2. Supergraph and engine: everything that a reload replaces as a whole.
  const { readText } = options;
  const forEngine = { calling, readText, newId, draw, clock, log };
  let engine = await openEngine(config, new Map(), forEngine);
  tellPlaintext(engine, log);

  // 3. Requests.
  const metrics = routerMetrics(meter, config.telemetry);
  const tracer = await openTracerOf(options);
  const subscriptions = new OpenSubscriptions(metrics);
  let operations = await openStore(config, options.readText);
  let tokens = await openTokens(config, options);
  const headers = new CallerHeaders(clock);
  let around = surroundings();
  function surroundings() {
    return {
      ...{ config, operations, subscriptions, metrics, tracer, clock, log },
      engine: () => engine,
      identityFor: (caller: Caller) => (subgraph: string) => {
        const client = engine.clients.get(subgraph);
        if (caller.peer === undefined || client === undefined) return [];
        const { settings, trust: own } = client;
        return headers.of(caller, subgraph, settings.spiffeIds, own.svids.svid());
      },
    };
  }
  function onRequest(request: IncomingMessage, response: ServerResponse): void {
    handle(request, response).catch((thrown) => {
      const id = newId();
      log.error({ id, err: thrown }, 'request failed');
      if (response.headersSent) return void response.destroy();
      response.writeHead(500, { 'content-type': 'application/json' });
      response.end(
        JSON.stringify({
          errors: [{ message: 'internal error', extensions: { code: 'ERR_INTERNAL', id } }],
        }),
      );
    });
  }
  let pages: Promise<BrowserPages> | undefined;
  function openPages(): Promise<BrowserPages> {
    pages ??= browserPages();
    return pages;
  }
  /** Operations under way end on the engine that they began on, with its connections. */
  async function closeRetired(old: RouterEngine, retired: readonly Subgraph[]): Promise<void> {
    const { signal } = closing;
    do await clock.sleep(retireMs, { signal, ref: false }).catch(() => {});
    while (!old.isIdle && !signal.aborted);
    await Promise.all(retired.map((client) => client.close()));
  }
  let reloading = Promise.resolve();
  async function takeOver(next: RouterConfig): Promise<void> {
    checkReloadable(config, next);
    const fresh = await openEngine(next, engine.clients, forEngine);
    let store: OperationStore;
    let verifier: OpenTokens | undefined;
    try {
      store = await openStore(next, readText);
      verifier = await openTokens(next, options, tokens);
    } catch (thrown) {
      fresh.retire();
      await closeFresh(fresh.clients, engine.clients);
      throw thrown;
    }
    const old = engine;
    if (tokens !== undefined && tokens.keys !== verifier?.keys) tokens.keys.stop?.();
    [engine, config, operations, tokens] = [fresh, next, store, verifier];
    around = surroundings();
    old.retire();
    const kept = new Set(fresh.clients.values());
    const retired = [...old.clients.values()].filter((client) => !kept.has(client));
    tellPlaintext(fresh, log);
    log.info({ subgraphs: [...fresh.clients.keys()] }, 'configuration and supergraph in force');
    void closeRetired(old, retired).catch((thrown) =>
      log.debug({ err: thrown }, 'a retired subgraph broke'),
    );
  }
  let underWay = 0;
  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = '/'] = (request.url ?? '/').split('?', 1);
    const heard = door.judge(request);
    if (!heard.ok) {
      log.warn({ code: heard.code, ...heard.fields }, `request refused: ${heard.detail}`);
      const { code } = heard;
      const told = {
        ...wrong(403, 'the connection is not accepted'),
        code,
      };
      response.setHeader('connection', 'close');
      return answerRefusal(response, told, 'application/json');
    }
    const known = door.callerOf(request);
    const shown = await showStatus(path, response);
    if (shown) return;
    if (path.startsWith(pageRoot) && request.method === 'GET' && config.landing_page !== false) {
      const file = (await openPages()).files.get(path);
      if (file !== undefined) return showPage(response, file);
    }
    if (path !== config.listen.path && path !== '/') {
      return answerRefusal(response, wrong(404, `nothing at "${path}"`), 'application/json');
    }
    allowOrigin(request, response, config.cors);
    if (request.method === 'OPTIONS') return answerPreflight(request, response, config.cors);
    const claimed = await withClaims(known, tokenOf(request));
    if (!claimed.ok) {
      log.warn({ code: claimed.code, caller: known.spiffeId }, claimed.detail);
      response.setHeader('www-authenticate', 'Bearer error="invalid_token"');
      const told = { ...wrong(401, 'the token is not accepted'), code: claimed.code };
      return answerRefusal(response, told, 'application/json');
    }
    const { caller } = claimed;
    if (!isCaller(caller)) {
      const detail = 'this router is not for the caller';
      const denied = { ...wrong(403, detail), code: 'ERR_GRAPHQL_DENIED' as const };
      tellRefused(around, caller, denied);
      return answerRefusal(response, denied, 'application/json');
    }
    if (isForBrowser(request)) return showPage(response, (await openPages()).page);
    if (underWay >= config.limits.max_operations) {
      const busy = {
        ...wrong(503, 'too many operations are under way'),
        code: 'ERR_GRAPHQL_LIMIT' as const,
      };
      tellRefused(around, caller, busy);
      return answerRefusal(response, busy, 'application/json');
    }
    underWay += 1;
    try {
      await handleGraphql(around, request, response, caller);
    } finally {
      underWay -= 1;
    }
  }
  /** The caller with what a token adds; a token that does not verify is worse than none. */
  async function withClaims(caller: Caller, token: string | undefined) {
    if (tokens === undefined || token === undefined) return { ok: true as const, caller };
    const verdict = await tokens.verifier.verify(token);
    return verdict.ok
      ? { ok: true as const, caller: { ...caller, claims: verdict.claims } }
      : verdict;
  }
  function tokenOf({ headers: sent }: IncomingMessage): string | undefined {
    return sent[config.jwt?.header ?? 'authorization']?.toString();
  }
  function isForBrowser({ method, headers, url }: IncomingMessage): boolean {
    if (method !== 'GET' || !config.landing_page || url?.includes('?') === true) return false;
    return (
      headers.accept?.includes('text/html') === true &&
      acceptedTypes(headers.accept)[0]?.type !== 'text/event-stream'
    );
  }
  async function showStatus(path: string, response: ServerResponse): Promise<boolean> {
    if (path === '/health') answerJson(response, healthOf());
    else if (path === '/health/mtls') answerJson(response, { ok: true, ...status() });
    else return false;
    return true;
  }
  function healthOf() {
    const mtls = options.mtlsStatus();
    const ok = !config.mtls.enabled || !('certValid' in mtls) || mtls.certValid === true;
    return { ok, status: ok ? 'ok' : 'unwell', subgraphs: [...engine.clients.keys()], mtls };
  }
  const status = (): RouterStatus => ({
    router: options.mtlsStatus(),
    subgraphs: [...engine.clients.values()].map((client) => client.status()),
    connections: { clients: door.connections?.count() ?? 0, subgraphs: outbound.count() },
  });

  // 4. The front door, and the facts that admitted: asked about again whenever one of them changes.
  const webSockets = openWebSocketDoor(() => around, withClaims);
  const front = createHttpFront({ onRequest, onUpgrade, log });
  function onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    upgrade(request, socket, head).catch((thrown) => {
      log.error({ err: thrown }, 'upgrade failed');
      socket.destroy();
    });
  }
  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const [path = '/'] = (request.url ?? '/').split('?', 1);
    const claimed = await withClaims(door.callerOf(request), tokenOf(request));
    const caller = claimed.ok ? claimed.caller : undefined;
    const isHere = door.judge(request).ok && (path === config.listen.path || path === '/');
    if (isHere && caller !== undefined && isCaller(caller))
      webSockets.take(request, socket, head, caller);
    else socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
  }
  function isCaller({ spiffeId }: Caller): boolean {
    const { callers } = config.authorization;
    return callers === undefined || matchesPrincipal(spiffeId, callers);
  }
  const door: FrontDoor = await openFrontDoor({
    ...{ front, svids, bundles, revocation, clock, log, meter },
    config: () => config,
  });
  function recheck(scope: ConnectionScope = {}): CutReport {
    const at = clock.now();
    const asked = (purpose: 'client' | 'server') => {
      const anchored = stillAnchored({ bundles, at, purpose });
      return ({ peer }: { readonly peer: Parameters<typeof judgePeer>[0] }) => {
        const anchor = anchored(peer);
        return anchor.ok ? judgePeer(peer, revocation, at) : anchor;
      };
    };
    const out = outbound.reask(asked('server'), scope);
    return door.connections === undefined
      ? out
      : addReports(door.connections.reask(asked('client'), scope), out);
  }
  const unfollow = followChanges([revocation, bundles], () => queueMicrotask(() => recheck()));
  const host = isIP(door.address) === 6 ? `[${door.address}]` : door.address;
  const url = `${door.isTls ? 'https' : 'http'}://${host}:${door.port}`;
  log.info(
    { url, path: config.listen.path, subgraphs: [...engine.clients.keys()] },
    'router listens',
  );

  return {
    url,
    port: door.port,
    get engine() {
      return engine;
    },
    recheck,
    countOpen(concerns) {
      const all = [...(door.connections ?? []), ...outbound];
      return all.filter(({ peer }) => !isAnonymous(peer) && concerns(peer)).length;
    },
    status,
    reload(next) {
      // One after the other: each begins with what the one before it has left.
      const done = reloading.then(() => takeOver(next));
      reloading = done.catch(() => {});
      return done;
    },
    async close() {
      webSockets.close();
      await door.close(drainMs);
      closing.abort();
      engine.retire();
      tokens?.keys.stop?.();
      unfollow();
      await Promise.all([...engine.clients.values()].map((client) => client.destroy()));
      outbound.destroyAll();
      await tracer?.close();
    },
  };
}

async function openStore(
  { persisted_operations: { automatic, safelist } }: RouterConfig,
  readText: RouterOptions['readText'],
): Promise<OperationStore> {
  if (safelist === undefined) return new OperationStore({ automatic, safelist: undefined });
  const json: unknown = JSON.parse(await readText(safelist));
  const entries = Object.entries(Object(json) as Record<string, unknown>);
  const texts = entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  if (texts.length !== entries.length || entries.length === 0) {
    const message = `"${safelist}" is no map of hashes to documents`;
    throw new CountersignError('ERR_GRAPHQL_PERSISTED', message);
  }
  return new OperationStore({ automatic, safelist: new Map(texts) });
}

/** Plaintext is said at start, each time. */
function tellPlaintext({ clients }: RouterEngine, log: Log): void {
  const plain = [...clients.values()].filter(({ settings }) => settings.transport === 'plaintext');
  if (plain.length === 0) return;
  const subgraphs = plain.map(({ settings }) => settings.name);
  log.warn({ subgraphs }, 'mTLS is switched off: these subgraphs are called in plaintext');
}

/** OpenTelemetry is loaded where a collector is configured. */
async function openTracerOf({ config, svids, clock, log, meter }: RouterOptions) {
  const { telemetry, listen } = config;
  const { otlp } = telemetry;
  if (otlp === undefined) return undefined;
  const { openTracer } = await import('./telemetry/open-tracer.ts');
  const own = listen.client_mtls === 'off' ? undefined : svids;
  return openTracer({ telemetry, otlp, own, clock, log, meter });
}

function checkReloadable(old: RouterConfig, next: RouterConfig): void {
  for (const key of ['listen', 'mtls', 'authority', 'issuer', 'telemetry'] as const) {
    if (JSON.stringify(old[key]) === JSON.stringify(next[key])) continue;
    throw new CountersignError('ERR_ROUTER_RESTART', `"${key}" of the configuration has changed`, {
      fields: { key },
    });
  }
}

function answerJson(response: ServerResponse, body: { readonly ok: boolean }): void {
  const text = `${JSON.stringify(body)}\n`;
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' };
  response.writeHead(body.ok ? 200 : 503, {
    ...headers,
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

function showPage(response: ServerResponse, { type, policy, body }: PageFile): void {
  response.writeHead(200, {
    'content-type': type,
    'content-security-policy': policy,
    'x-content-type-options': 'nosniff',
    'content-length': body.length,
    'cache-control': 'no-store',
  });
  response.end(body);
}
