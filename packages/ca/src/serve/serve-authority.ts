import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import { createServer as createSocketServer, isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import {
  type Clock,
  CountersignError,
  type Denial,
  type Log,
  type Meter,
  nodeHttp,
} from '@countersign/base';
import { createMtlsListener, isAnonymous } from '@countersign/mtls';
import type { BundleSource, Changes } from '@countersign/spiffe';
import type { Authority } from '../authority.ts';
import { keepRetention, type Retention } from '../ledger/retention/keep-retention.ts';
import { listStateFile } from '../publish/list-state.ts';
import { keepPublishedUrl } from '../publish/published-url.ts';
import { type Publishing, startPublishing } from '../publish/start-publishing.ts';
import { stateLayout } from '../state-layout.ts';
import { type RevokedWatch, watchRevoked } from '../status/revoked-authorities.ts';
import { listenOnAdminSocket } from './admin-socket.ts';
import { answerRequest } from './answer-request.ts';
import type { Caller } from './api-call.ts';
import { apiContext } from './api-context.ts';
import { cutRevokedPeers, type RevokedPeerCutter } from './cut-revoked-peers.ts';
import type { FeedLimits } from './feed-hub.ts';
import type { GuessLimits } from './guess-limiter.ts';
import type { QueueLimits } from './issue-queue.ts';
import { answerListRequests } from './list-requests.ts';
import { openAcme } from './open-acme.ts';
import { openEst } from './open-est.ts';
import { openStep } from './open-step.ts';
import { openVault } from './open-vault.ts';
import { OwnIdentity } from './own-identity.ts';
import { answerProblem } from './problem-answer.ts';
import { watchClock } from './watch-clock.ts';
import { watchLeases } from './watch-leases.ts';

export interface ServeAuthorityOptions {
  readonly authority: Authority;
  /** 0 takes any free one; `api.port` of ca.yaml unless given. */
  readonly port?: number;
  /** An IP address to listen on; `api.address` of ca.yaml unless given. */
  readonly host?: string;
  /** Where lists and OCSP are published; `publish.port` of ca.yaml unless given. */
  readonly publishPort?: number;
  /** Where the admin socket stands. */
  readonly dataDir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  /** Shown by the status route; `unknown` unless given. */
  readonly version?: string;
  /** How long a revocation waits for acknowledgements unless its request says. Default 5000. */
  readonly waitMs?: number;
  /** Lifetime of the own TLS certificate; 24 h, or `max_validity` where that is shorter, unless given. */
  readonly ownTtlMs?: number;
  /** Open connections, handshakes included. Default 10,000. */
  readonly maxConnections?: number;
  readonly feed?: FeedLimits;
  readonly guesses?: GuessLimits;
  readonly queue?: QueueLimits;
}

export interface AuthorityServer {
  /** `https://<address>:<port>`. */
  readonly url: string;
  readonly port: number;
  readonly adminSocket: string;
  /** `http://<address>:<port>` where ca.yaml publishes lists and OCSP answers. */
  readonly publishUrl: string | undefined;
  /** Why the authority cannot do its work any more, for a health check; undefined while it can. */
  unwell(): string | undefined;
  /** Ends feed streams, lets requests under way finish within `drainMs` (default 5000), then hangs up. The authority stays open. */
  close(drainMs?: number): Promise<void>;
}

const anyGateway =
  'ca.yaml says nothing under api.gateways: every workload may hold a lease, and each that holds one and ' +
  'does not acknowledge delays every revocation; name the gateways, or write ["*"] where that is meant';
const day = 86_400_000;
const headTimeoutMs = 10_000;
const requestTimeoutMs = 30_000;
const idleTimeoutMs = 60_000;

/**
 * Serves an authority: HTTPS for whoever can reach it, and the admin socket for whoever holds the state.
 *
 * @throws CountersignError ERR_LISTEN, ERR_API_SOCKET, or why the own certificate was refused
 */
export async function serveAuthority(options: ServeAuthorityOptions): Promise<AuthorityServer> {
  const { authority, clock, log, meter } = options;
  const { api, services } = authority.config;
  const host = options.host ?? api.address;
  let closing = false;
  let cutter: RevokedPeerCutter | undefined;
  let publishing: Publishing | undefined;
  let retention: Retention | undefined;
  const clockWatch = watchClock({ clock, log, meter });
  let revoked: RevokedWatch | undefined;
  let own: OwnIdentity | undefined;

  // 1. what every handler works with
  const context = apiContext({
    authority,
    clock,
    log,
    meter,
    waitMs: options.waitMs ?? 5000,
    version: options.version ?? 'unknown',
    feed: options.feed,
    guesses: options.guesses,
    queue: options.queue,
    closing: () => closing,
    cutter: () => cutter,
    running: () => ({ publishing, retention, clockWatch, revoked, identity: own }),
  });

  const { queue: line } = context;
  const acme = await openAcme({ ...options, line });
  const step = await openStep(context);
  const vault = await openVault({ ...options, line, version: options.version ?? 'unknown' });

  // 2. nothing is issued for a server that cannot be; the own certificate, by the ordinary flow: its address as an IP
  // name, further names where ca.yaml gives them
  await portMustBeFree(options.port ?? api.port, host);
  const identity = await OwnIdentity.start({
    authority,
    dns: api.dns,
    ip: [...new Set([...addressesOf(host), ...api.ip])],
    ttlMs: options.ownTtlMs ?? Math.min(day, services.maxValidityMs),
    clock,
    log,
    meter,
  });

  own = identity;
  const est = await openEst({ authority, identity, line, clock, log });

  // 3. HTTPS: the listener proves who calls, and hands on sockets; HTTP is spoken on them
  const callers = new WeakMap<TLSSocket, Caller>();
  const refusals = new WeakMap<TLSSocket, Denial>();
  const web = nodeHttp().createServer(httpLimits, (request, response) => {
    const socket = request.socket as TLSSocket;
    const address = socket.remoteAddress ?? '';
    const caller = callers.get(socket) ?? { kind: 'anonymous', address };
    const refusal = refusals.get(socket);
    // Whose certificate is of others may show it there, and log in by it.
    const door = [est, vault, step].find((each) => each?.has(request.url ?? '') === true);
    if (door !== undefined) {
      if (refusal !== undefined) response.setHeader('connection', 'close');
      return void door.answer(request, response);
    }
    if (refusal === undefined) {
      if (acme?.has(request.url ?? '') === true) return void acme.answer(request, response);
      return void answerRequest(context, caller, request, response);
    }
    const id = randomBytes(9).toString('base64url');
    response.setHeader('connection', 'close');
    const asked = 'handshake';
    // What a certificate may be used for stands in it: its holder is told, as nothing else would say why it cannot renew.
    const audience = refusal.code === 'ERR_CERT_PURPOSE' ? 'caller' : 'stranger';
    answerProblem(response, { cause: refusal, caller, audience, id, asked }, log);
  });
  const bundles: BundleSource & Changes = {
    bundle: (domain) => (domain === authority.config.trustDomain ? authority.bundle() : undefined),
    onChange: (told) => authority.onChange(told),
  };
  const listener = createMtlsListener({
    name: 'api',
    svids: identity,
    bundles,
    clientAuth: 'request',
    maxConnections: options.maxConnections ?? 10_000,
    ...((est ?? vault ?? step) !== undefined && { refusedLingerMs: requestTimeoutMs }),
    clock,
    log,
    meter,
    onConnection(socket, peer, live) {
      const address = socket.remoteAddress ?? '';
      callers.set(
        socket,
        isAnonymous(peer) ? { kind: 'anonymous', address } : { kind: 'peer', peer, live },
      );
      web.emit('connection', socket);
    },
    onRefused(socket, refusal) {
      refusals.set(socket, refusal);
      web.emit('connection', socket);
    },
  });
  enforceHttpTimeouts(web);
  if (vault !== undefined) answerListRequests(web, { edge: vault.edge, clock, log });

  // 4. revoke and cut, here too
  const { ledger } = authority;
  const { revocationPosition } = await ledger.status();
  const { connections } = listener;
  const unlearn = ledger.onCommit(() => void identity.recheck());
  cutter = cutRevokedPeers({ ledger, connections, clock, log, from: revocationPosition });

  // 5. keys of the hierarchy that are replaced, here or by another process: the own certificate is replaced with them,
  // and readers of the feed are greeted with the roots of now
  let anchors = context.anchors().join();
  const unfollow = authority.onChange(function takeUp() {
    identity.renewSoon();
    if (context.anchors().join() === anchors) return;
    anchors = context.anchors().join();
    context.feed.restart();
  });

  // 6. who follows the feed, for whoever watches
  if (api.isAnyGateway) log.warn({ key: 'api.gateways' }, anyGateway);
  const watching = new AbortController();
  const { leases, liveLeases: live } = context;
  void watchLeases({ ledger, leases, live, clock, log }, watching.signal);
  const isShared = authority.config.ledger.postgres !== undefined;
  if (isShared) void authority.rotation?.follow(watching.signal);

  // 7. the admin socket
  const admin = nodeHttp().createServer(httpLimits, (request, response) => {
    void answerRequest(context, { kind: 'operator' }, request, response);
  });
  const stop = async (drainMs: number): Promise<void> => {
    closing = true;
    identity.stop();
    unlearn();
    unfollow();
    watching.abort();
    context.feed.close();
    web.closeIdleConnections();
    const drained = listener.close(drainMs);
    await Promise.all([drained, closeHttp(admin, drainMs, clock)]);
    cutter?.stop();
    clockWatch.stop();
    revoked?.stop();
    await retention?.stop();
    await publishing?.close(drainMs);
    await acme?.close();
    await vault?.close();
    await keepPublishedUrl(options.dataDir, undefined);
    // Not listening, so it has nothing to close; what it checks time-outs with ends.
    web.close();
  };
  try {
    // 8. lists and OCSP over plain HTTP, where ca.yaml says so
    const states = listStateFile(stateLayout(options.dataDir).lists);
    const { publishPort } = options;
    publishing = await startPublishing({ authority, states, port: publishPort, clock, log, meter });
    await keepPublishedUrl(options.dataDir, publishing?.url);
    revoked = watchRevoked({ authority, clock, log });

    // 8. what ended long ago leaves the tables that are asked every day
    const config = authority.config.ledger.retention;
    retention = keepRetention({ ledger, config, clock, log, meter });

    const socket = await listenOnAdminSocket(admin, options.dataDir);
    admin.on('error', (thrown) => log.error({ err: thrown }, 'admin socket failed'));
    const bound = await listener.listen(options.port ?? api.port, host);
    const url = `https://${bracketed(reachable(host))}:${bound.port}`;
    log.info({ url, adminSocket: socket.path }, 'authority serves');
    return {
      url,
      port: bound.port,
      adminSocket: socket.path,
      publishUrl: publishing?.url,
      unwell: () =>
        ledger.failure?.message ??
        authority.unwell() ??
        identity.finding ??
        publishing?.unwell() ??
        revoked?.finding(),
      async close(drainMs = 5000) {
        await socket.remove();
        await stop(drainMs);
        log.info({ url }, 'authority stopped serving');
      },
    };
  } catch (thrown) {
    await stop(0);
    throw thrown;
  }
}

/** @throws CountersignError ERR_LISTEN; whoever takes it after this look is found out when it is listened on */
async function portMustBeFree(port: number, host: string): Promise<void> {
  if (port === 0) return;
  const probe = createSocketServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', (thrown: NodeJS.ErrnoException) => {
      const fields = { host, port, reason: thrown.code };
      const message = `listen on "${host}:${port}": ${thrown.code ?? thrown.message}`;
      reject(new CountersignError('ERR_LISTEN', message, { fields, cause: thrown }));
    });
    probe.listen(port, host, () => probe.close(() => resolve()));
  });
}

const httpLimits = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: headTimeoutMs,
  requestTimeout: requestTimeoutMs,
  keepAliveTimeout: idleTimeoutMs,
  connectionsCheckingInterval: 2000,
  noDelay: true,
} as const;

/** Node starts its check of these time-outs when a server listens; this one is handed its sockets instead. */
function enforceHttpTimeouts(server: Server): void {
  server.emit('listening');
}

async function closeHttp(server: Server, drainMs: number, clock: Clock): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const over = new AbortController();
  const overdue = clock.sleep(drainMs, { signal: over.signal, ref: false }).catch(() => {});
  await Promise.race([closed, overdue]);
  over.abort();
  server.closeAllConnections();
  await closed;
}

const wildcards: Readonly<Record<string, readonly string[]>> = {
  '0.0.0.0': ['127.0.0.1'],
  '::': ['::1', '127.0.0.1'],
};

/** What the own certificate names for a listening address: for all of them the loopback alone, the rest is `api.names`. */
function addressesOf(host: string): readonly string[] {
  if (wildcards[host] !== undefined) return wildcards[host];
  if (host === 'localhost') return ['127.0.0.1', '::1'];
  return isIP(host) === 0 ? [] : [host];
}

function reachable(host: string): string {
  return wildcards[host]?.[0] ?? host;
}

function bracketed(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host;
}
