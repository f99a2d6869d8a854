import { constants, randomBytes } from 'node:crypto';
import type { Socket, Server as TcpServer } from 'node:net';
import {
  createServer,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
  type TlsOptions,
} from 'node:tls';
import {
  type Clock,
  CountersignError,
  type Denial,
  denial,
  equalBytes,
  type Log,
  type Meter,
  messageOf,
} from '@countersign/base';
import type { BundleSource, RevocationSource } from '@countersign/spiffe';
import { SignatureCache } from '@countersign/x509';
import { ChainMemory } from './chain-memory.ts';
import { endOf, HandshakesUnderWay } from './handshakes-under-way.ts';
import { factsOf, type JudgedClient, type JudgeOptions, judgeClient } from './judge-client.ts';
import { type ListenerChain, ListenerChains } from './listener-chains.ts';
import type { HandshakeFacts, LiveConnection, PeerOf } from './live-connection.ts';
import { describePeer, LiveConnections, type StillAllowed } from './live-connections.ts';
import { createProxyFront } from './proxy-front.ts';
import type { ProxyHeader } from './proxy-header.ts';
import { followChanges } from './source-changes.ts';
import type { IdentitySource, TlsIdentity } from './tls-certificate.ts';
import { clientCasOf, contextOptions, provenContext, sessionIdContext } from './tls-identity.ts';
import { httpAlpn, type TlsSuites, type TlsVersion } from './tls-policy.ts';

export interface MtlsListenerOptions {
  /** Names the listener in logs and metrics, and binds its session tickets. */
  readonly name: string;
  readonly svids: IdentitySource;
  readonly bundles: BundleSource;
  /**
   * `require`: no certificate is a refusal. `request`: no certificate is an explicit {@link Anonymous}, a wrong one a
   * refusal. `none`: no certificate is asked for.
   */
  readonly clientAuth: 'require' | 'request' | 'none';
  /** `svid` (default): peers have a SPIFFE ID; `any`: any certificate that the bundles' authorities vouch for. */
  readonly profile?: 'svid' | 'any';
  /** `TLSv1.2` unless given. */
  readonly minVersion?: TlsVersion;
  /** All that the policy has, unless given. */
  readonly suites?: TlsSuites | undefined;
  /**
   * Other ways to meet a connection, by the server name that the client sends; without one of theirs it is met as these
   * options say. A listener with several resumes no sessions.
   */
  readonly chains?: readonly ListenerChain[];
  /** Whoever sends no server name of a chain is refused. Default false. */
  readonly refusesOtherNames?: boolean;
  /** Application protocols offered; `['http/1.1']` unless given. */
  readonly alpn?: readonly string[];
  /**
   * A client that has said its last may still be answered; default false. Only for who passes bytes through: HTTP
   * servers take the end of a request for the client's leaving.
   */
  readonly allowHalfOpen?: boolean;
  /**
   * Every connection begins with a PROXY header (version 2), from an address that is trusted to tell who the client
   * is; others are refused. Absent: none does.
   */
  readonly proxyProtocol?: { readonly trusts: (address: string) => boolean };
  /** From the TCP connection to the finished handshake; 10,000 unless given. */
  readonly handshakeTimeoutMs?: number;
  /** How long {@link onRefused} may keep a connection; 5000 unless given. */
  readonly refusedLingerMs?: number;
  /** Open TCP connections, handshakes included; further ones are dropped. 10,000 unless given. */
  readonly maxConnections?: number;
  /** Handshakes under way; further connections are dropped. 2000 unless given. */
  readonly maxHandshakes?: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  /**
   * Asked once the peer is verified, before `admit`: what has to be looked up about it first. The connection waits as
   * long as it takes, so it must have a bound of its own; undefined is no wait.
   */
  readonly prepare?: RevocationSource['prepare'];
  /** Asked once the peer is verified, on resumed sessions too. Without it every verified peer is admitted. */
  readonly admit?: (peer: PeerOf, facts: HandshakeFacts) => StillAllowed;
  /**
   * The OCSP response to staple for clients who ask (RFC 6066 §8): about the leaf of `svid`, which is the one that this
   * handshake presents. Undefined: none now. Without this function none is ever stapled.
   */
  readonly staple?: (svid: TlsIdentity) => Uint8Array | undefined;
  /** Takes an admitted connection. No byte of it has been read. */
  readonly onConnection: (socket: TLSSocket, peer: PeerOf, live: LiveConnection) => void;
  /**
   * Takes a refused connection, so that the client may be told an opaque code; it must end the socket, and the
   * listener destroys what is left of it after `refusedLingerMs`. `peer` is who was verified before `admit` said no.
   * Without this function refused connections are destroyed at once.
   */
  readonly onRefused?: (
    socket: TLSSocket,
    refusal: Denial,
    facts: HandshakeFacts,
    peer: PeerOf | undefined,
  ) => void;
}

export interface MtlsListener {
  /**
   * @param port 0 takes any free one
   * @throws CountersignError ERR_LISTEN
   */
  listen(port: number, host: string): Promise<{ readonly port: number; readonly address: string }>;
  /** Begins the handshake on a connection that somebody else accepted, who keeps the bound on their number. */
  take(raw: Socket): void;
  /** Stops accepting, gives open connections `drainMs` to end by themselves, then destroys the rest. */
  close(drainMs: number): Promise<void>;
  /**
   * Takes the sources' current values for the handshakes to come; tickets given so far lead to full handshakes. The
   * new context is proved before it replaces the old one. Called by itself when the sources tell of changes, and at
   * each accepted connection whose sources answer differently.
   *
   * @throws CountersignError ERR_TLS_CONTEXT, or what the source throws; the old context stays
   */
  reload(): void;
  readonly connections: LiveConnections;
}

const refusedLingerMs = 5000;
/** So that clients who connect again cost no new verification of their chain; about 150 bytes each. */
const rememberedSignatures = 10_000;

/**
 * The one place that constructs TLS servers. The story of a connection: accept, handshake, chain, peer, prepare, admit,
 * live.
 * Node would verify with OpenSSL and reset the connection without a reason; so any certificate is let through the
 * handshake, and our own verifier judges before the socket is handed on.
 *
 * @throws CountersignError ERR_SVID_NONE, ERR_TLS_CONTEXT
 */
export function createMtlsListener(options: MtlsListenerOptions): MtlsListener {
  const { name, clock, log } = options;
  const connections = new LiveConnections({ name, clock, log, meter: options.meter });
  const handshakes = handshakeCounter(options.meter, name);
  const memory = new ChainMemory();
  const signatures = new SignatureCache({ maxEntries: rememberedSignatures });
  const presented: Presented = { svid: options.svids.svid(), clientCas: undefined, context: '' };
  const chains = options.chains && new ListenerChains(options.chains, options.minVersion);
  for (const chain of options.chains ?? []) chains?.contextOf(chain);
  const first = serverOptions(options, presented.svid, chains);
  provenContext(first, presented.svid);
  presented.context = first.sessionIdContext;
  const server = createServer(first);
  forgetKey(server);
  const proxied = new Map<string, ProxyHeader>();
  const front = options.proxyProtocol && proxyFront(options.proxyProtocol.trusts);
  const outer = front ?? server;
  outer.maxConnections = options.maxConnections ?? 10_000;
  const { chains: _, ...own } = options;
  const judging = { ...own, proxiedOf: (socket: TLSSocket) => proxied.get(endOf(socket)) };
  const judgings = new Map(
    options.chains?.map((chain) => [chain, { ...judging, ...withoutListener(chain) }]),
  );
  const accepted = new Set<Socket>();
  const underWay = new HandshakesUnderWay();
  let isOver = false;

  // 1. accept: the sources are asked before each handshake, even when they don't tell of changes
  server.prependListener('connection', function refreshBeforeHandshake(raw: Socket) {
    accepted.add(raw);
    if (underWay.count >= (options.maxHandshakes ?? 2000)) {
      handshakes('dropped', 'ERR_TLS_HANDSHAKE_CAP');
      raw.destroy();
    } else underWay.begun(raw);
    raw.once('close', () => accepted.delete(raw));
    try {
      const svid = options.svids.svid();
      if (svid !== presented.svid || ticketsAreForOthers(svid)) reload();
    } catch (thrown) {
      log.error({ listener: name, err: thrown }, 'new TLS identity refused, the old one is kept');
    }
  });

  // 2. handshake: OpenSSL proves that the peer holds the key of the leaf it sent
  server.on('secureConnection', function onSecureConnection(socket: TLSSocket) {
    socket.on('error', (thrown) => {
      log.debug({ listener: name, reason: messageOf(thrown) }, 'connection broke');
    });
    // 3.–6.
    const met = chains === undefined ? judging : judgingOf(socket);
    const judged =
      met === undefined ? nameless(socket) : judgeClient(met, { memory, signatures }, socket);
    if (!(judged instanceof Promise)) return take(socket, judged);
    void judged.then((later) => {
      if (!socket.destroyed && !isOver) return take(socket, later);
      handshakes('failed', 'ERR_TLS_ABORTED');
    });
  });

  /** By the chain of its server name; undefined for one that no chain is for. */
  function judgingOf(socket: TLSSocket): JudgeOptions | undefined {
    const chain = chains?.ofSocket(socket);
    if (chain !== undefined) return judgings.get(chain);
    return options.refusesOtherNames === true ? undefined : judging;
  }

  function nameless(socket: TLSSocket): JudgedClient {
    const detail = 'client sent no server name that is served here';
    const refusal = denial('ERR_TLS_SERVER_NAME', detail);
    return { ok: false, refusal, facts: factsOf(judging, socket, []) };
  }

  function take(socket: TLSSocket, judged: JudgedClient): void {
    if (judged.ok) live(socket, judged);
    else refuse(socket, judged);
    underWay.over(socket);
  }

  function live(socket: TLSSocket, judged: JudgedClient & { ok: true }): void {
    // 7. live: from here on the peer is re-asked whenever a fact changes
    handshakes('ok', 'none');
    const { peer, facts } = judged;
    const connection = connections.add(socket, peer, facts);
    log.debug({ ...facts, connection: connection.id, ...describePeer(peer) }, 'connected');
    options.onConnection(socket, peer, connection);
  }

  if (options.staple !== undefined) {
    server.on('OCSPRequest', function onStapleAsked(leaf, _issuer, answer) {
      const shown = [presented.svid, ...(chains?.identities() ?? [])];
      // Where the identity rotated since this handshake began, it still presents the one before.
      const svid = shown.find(({ chain }) => equalBytes(leaf, chain[0].raw));
      const staple = svid && stapleOf(options, svid);
      answer(null, staple === undefined ? null : Buffer.from(staple));
    });
  }

  server.on('tlsClientError', function onHandshakeFailure(thrown: NodeError, socket: TLSSocket) {
    const code = handshakeFailures[thrown.code ?? ''] ?? 'ERR_TLS_HANDSHAKE';
    handshakes('failed', code);
    log.debug({ listener: name, code, reason: thrown.code ?? thrown.message }, 'handshake failed');
    // Node reports the time-out, and leaves the connection open.
    if (code === 'ERR_TLS_TIMEOUT') socket.destroy();
  });
  outer.on('drop', () => handshakes('dropped', 'ERR_TLS_CONNECTION_CAP'));

  function refuse(socket: TLSSocket, { refusal, facts, peer }: JudgedClient & { ok: false }): void {
    handshakes('refused', refusal.code);
    log.warn({ ...facts, code: refusal.code, ...refusal.fields }, `refused: ${refusal.detail}`);
    if (options.onRefused === undefined) return void socket.destroy();
    const lingerMs = options.refusedLingerMs ?? refusedLingerMs;
    void clock.sleep(lingerMs, { ref: false }).then(() => socket.destroy());
    options.onRefused(socket, refusal, facts, peer);
  }

  /** Whether the client CAs have changed since tickets were last renewed. */
  function ticketsAreForOthers(svid: TlsIdentity): boolean {
    const clientCas = clientCasOf(svid, options.bundles);
    if (clientCas === presented.clientCas) return false;
    if (sessionIdContext(name, svid, options.bundles) !== presented.context) return true;
    presented.clientCas = clientCas;
    return false;
  }

  /** What a proxy told is known for as long as its connection stands. */
  function proxyFront(trusts: (address: string) => boolean): TcpServer {
    return createProxyFront({
      ...{ name, trusts, clock, log, timeoutMs: options.handshakeTimeoutMs ?? 10_000 },
      onConnection(raw, told) {
        const end = endOf(raw);
        if (told !== undefined) proxied.set(end, told);
        raw.once('close', () => proxied.delete(end));
        server.emit('connection', raw);
      },
      onRefused: () => handshakes('failed', 'ERR_TLS_PROXY_HEADER'),
    });
  }

  function reload(): void {
    const svid = options.svids.svid();
    const next = serverOptions(options, svid, chains);
    provenContext(next, svid);
    server.setSecureContext(next);
    forgetKey(server);
    presented.svid = svid;
    presented.clientCas = clientCasOf(svid, options.bundles);
    presented.context = next.sessionIdContext;
    log.debug({ listener: name, spiffeId: svid.spiffeId?.toString() }, 'TLS identity in force');
  }

  const unfollow = followChanges([options.svids, options.bundles], function reloadOnChange() {
    try {
      reload();
    } catch (thrown) {
      log.error({ listener: name, err: thrown }, 'new TLS identity refused, the old one is kept');
    }
  });

  return {
    connections,
    reload,
    take: (raw) => void server.emit('connection', raw),
    async listen(port, host) {
      const bound = await listen(outer, port, host);
      outer.on('error', (thrown) => log.error({ listener: name, err: thrown }, 'listener failed'));
      return bound;
    },
    async close(drainMs) {
      unfollow();
      const closed = new Promise<void>((resolve) => outer.close(() => resolve()));
      // A client that is in its handshake believes that it is connected, and may have asked already.
      const quiet = underWay.none().then(() => connections.empty());
      await drained(quiet, clock, drainMs);
      isOver = true;
      for (const raw of accepted) raw.destroy();
      await closed;
    },
  };
}

/** A handshake without a staple is still one: whoever insists on it refuses us by itself. */
function stapleOf({ staple, name, log }: MtlsListenerOptions, svid: TlsIdentity) {
  try {
    return staple?.(svid);
  } catch (thrown) {
    log.error({ listener: name, err: thrown }, 'no staple to show');
    return undefined;
  }
}

/** What the handshakes of now are made with. */
interface Presented {
  svid: TlsIdentity;
  clientCas: ReturnType<typeof clientCasOf>;
  /** Binds tickets to the client CAs. */
  context: string;
}

type NodeError = Error & { readonly code?: string };

function serverOptions(
  options: MtlsListenerOptions,
  svid: TlsIdentity,
  chains: ListenerChains | undefined,
) {
  const all = [options, ...(options.chains ?? [])];
  const context = contextOptions(svid, options.minVersion, options.suites);
  return {
    ...context,
    ...(chains !== undefined && namedOptions(options, context, chains)),
    requestCert: all.some(({ clientAuth }) => clientAuth !== 'none'),
    rejectUnauthorized: false,
    ...(chains === undefined && { ALPNProtocols: [...(options.alpn ?? httpAlpn)] }),
    allowHalfOpen: options.allowHalfOpen ?? false,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
    handshakeTimeout: options.handshakeTimeoutMs ?? 10_000,
    sessionIdContext: sessionIdContext(options.name, svid, options.bundles),
    ticketKeys: randomBytes(48),
    sessionTimeout: 300,
  };
}

/** Of a listener whose connections are met by their server name. */
function namedOptions(
  options: MtlsListenerOptions,
  context: SecureContextOptions,
  chains: ListenerChains,
): TlsOptions {
  const alpnOf = (name: string) => chains.of(name)?.alpn ?? options.alpn ?? httpAlpn;
  return {
    // A resumed session of TLS 1.2 does not tell its server name, by which its chain is chosen.
    secureOptions: (context.secureOptions ?? 0) | constants.SSL_OP_NO_TICKET,
    SNICallback(name, answer) {
      const chain = chains.of(name);
      if (chain === undefined && options.refusesOtherNames === true) {
        return void answer(new Error('server name that is not served here'));
      }
      try {
        answer(null, chain === undefined ? undefined : chains.contextOf(chain));
      } catch (thrown) {
        answer(thrown as Error);
      }
    },
    // RFC 7301 §3.2: in our order; a client that offers none of them is refused. Who passes bytes through agrees to any.
    ALPNCallback({ servername, protocols }) {
      // Node says `false` where the client sent no name.
      const ours = alpnOf(servername || '');
      if (ours.length === 0) return protocols[0];
      return ours.find((each) => protocols.includes(each));
    },
  };
}

function withoutListener({ name, ...chain }: ListenerChain) {
  return { ...chain, chain: name };
}

/** Node keeps the key's text on the server, where a careless dump would show it; its context has it already. */
function forgetKey(server: Server): void {
  Object.assign(server, { key: undefined });
}

/** Node's codes of handshakes that ended early, as ours; what is not here is ERR_TLS_HANDSHAKE. */
const handshakeFailures: Readonly<Record<string, 'ERR_TLS_TIMEOUT' | 'ERR_TLS_ABORTED'>> = {
  ERR_TLS_HANDSHAKE_TIMEOUT: 'ERR_TLS_TIMEOUT',
  ECONNRESET: 'ERR_TLS_ABORTED',
  EPIPE: 'ERR_TLS_ABORTED',
};

function handshakeCounter(
  meter: Meter,
  listener: string,
): (result: string, reason: string) => void {
  const counter = meter.counter({
    name: 'countersign_handshakes_total',
    help: 'TLS handshakes by what became of them.',
    labels: ['listener', 'result', 'reason'],
  });
  return (result, reason) => counter.add(1, { listener, result, reason });
}

async function listen(server: TcpServer, port: number, host: string) {
  return new Promise<{ port: number; address: string }>((resolve, reject) => {
    const failed = (thrown: NodeError): void => {
      const fields = { host, port, reason: thrown.code };
      const message = `listen on "${host}:${port}": ${thrown.code ?? thrown.message}`;
      reject(new CountersignError('ERR_LISTEN', message, { fields, cause: thrown }));
    };
    server.once('error', failed);
    server.listen(port, host, () => {
      server.off('error', failed);
      const bound = server.address();
      if (bound === null || typeof bound === 'string') return;
      resolve({ port: bound.port, address: bound.address });
    });
  });
}

async function drained(quiet: Promise<void>, clock: Clock, drainMs: number) {
  const stopWaiting = new AbortController();
  const overdue = clock.sleep(drainMs, { signal: stopWaiting.signal }).catch(() => {});
  await Promise.race([quiet, overdue]);
  stopWaiting.abort();
}
