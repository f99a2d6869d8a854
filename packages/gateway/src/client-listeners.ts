import type { Socket } from 'node:net';
import { isIP } from 'node:net';
import {
  addReports,
  type ConnectionScope,
  type CutReport,
  createMtlsListener,
  isAnonymous,
  type ListenerChain,
  type LiveConnection,
  type MtlsListener,
  type MtlsListenerOptions,
  type StillAllowed,
} from '@countersign/mtls';
import { createClearListener } from './clear-listener.ts';
import { expectationOf } from './expect-names.ts';
import type { Credentials } from './files/credentials.ts';
import type { RefusedConnection } from './handle-request.ts';
import { withinNetworks } from './listener-config.ts';
import type { ChainModel, ListenerModel } from './model/listener-model.ts';
import { rbacTest } from './rbac-test.ts';
import { ask, connectionOf, type Facts } from './reask.ts';
import { type MetAt, Session } from './session.ts';

export interface ClientListenersOptions
  extends Pick<
    MtlsListenerOptions,
    'prepare' | 'staple' | 'handshakeTimeoutMs' | 'maxConnections' | 'clock' | 'log' | 'meter'
  > {
  readonly listeners: readonly ListenerModel[];
  readonly facts: Facts;
  readonly credentials: Credentials;
  /** Takes a connection that speaks HTTP, one that was refused included: it is told so. */
  readonly onHttp: (socket: Socket, from: Session | RefusedConnection) => void;
  /** Takes a connection whose bytes go to this cluster. */
  readonly onTunnel: (session: Session, cluster: string) => void;
}

/** A listener that is open. */
export interface BoundListener {
  readonly name: string;
  /** `https://host:port`, `http://host:port` in clear text, `tcp://host:port`, or `unix:path`. */
  readonly url: string;
  readonly port: number;
}

/** Every listener of a gateway, and the connections of all of them. */
export class ClientListeners {
  readonly #options: ClientListenersOptions;
  readonly #listeners: readonly {
    readonly model: ListenerModel;
    readonly listener: MtlsListener;
  }[];
  readonly #sessions = new Map<LiveConnection, Session>();

  /** @throws CountersignError ERR_SVID_NONE, ERR_TLS_CONTEXT */
  constructor(options: ClientListenersOptions) {
    this.#options = options;
    this.#listeners = options.listeners.map((model) => ({ model, listener: this.#open(model) }));
  }

  /** @throws CountersignError ERR_LISTEN; then none of them is open */
  async listen(): Promise<readonly [BoundListener, ...BoundListener[]]> {
    const bound: BoundListener[] = [];
    try {
      for (const { model, listener } of this.#listeners) {
        const { port, address } = await listener.listen(model.port, model.address);
        const [{ protocol, tls }] = model.chains;
        const web = tls === undefined ? 'http' : 'https';
        const scheme = protocol === 'tcp' ? 'tcp' : web;
        const url =
          model.path === undefined ? `${scheme}://${inUrl(address)}:${port}` : `unix:${address}`;
        bound.push({ name: model.name, url, port });
      }
    } catch (thrown) {
      await this.close(0);
      throw thrown;
    }
    return bound as [BoundListener, ...BoundListener[]];
  }

  /** Stops accepting, gives open connections `drainMs` to end by themselves, then destroys the rest. */
  async close(drainMs: number): Promise<void> {
    for (const session of this.#sessions.values()) session.retire();
    await Promise.all(this.#listeners.map(({ listener }) => listener.close(drainMs)));
  }

  sessionOf(connection: LiveConnection): Session | undefined {
    return this.#sessions.get(connection);
  }

  sessions(): Iterable<Session> {
    return this.#sessions.values();
  }

  count(): number {
    return this.#listeners.reduce((sum, { listener }) => sum + listener.connections.count(), 0);
  }

  /** For the status page. */
  report(): readonly object[] {
    return this.#listeners.map(({ model: { name, chains }, listener }) => ({
      ...{ name, protocol: chains[0].protocol, clientAuth: chains[0].tls?.clientAuth ?? 'none' },
      connections: listener.connections.count(),
    }));
  }

  *[Symbol.iterator](): Generator<LiveConnection, void> {
    for (const { listener } of this.#listeners) yield* listener.connections;
  }

  reask(ask: (connection: LiveConnection) => StillAllowed, scope: ConnectionScope): CutReport {
    return addReports(
      ...this.#listeners.map(({ listener }) => listener.connections.reask(ask, scope)),
    );
  }

  #open({ name, path, chains, proxyProtocolFrom }: ListenerModel): MtlsListener {
    const { prepare, staple, onHttp, handshakeTimeoutMs, maxConnections, clock, log, meter } =
      this.#options;
    const met = new Map(chains.map((chain) => [chain.name, this.#metAt(chain)]));
    const shared = { name, clock, log, meter, maxConnections: maxConnections ?? 10_000 };
    const [first] = chains;
    if (first.tls === undefined) {
      const admit = this.#admits(first, met.get(first.name));
      const onConnection = (socket: Socket, live: LiveConnection) =>
        this.#take(first, met.get(first.name), socket, live);
      return createClearListener({
        ...shared,
        path,
        allowHalfOpen: isTunnel(first),
        admit,
        onConnection,
      });
    }
    const byName = new Map(chains.map((chain) => [chain.name, chain]));
    // Without a server name, or with one that no chain has.
    const usual = chains.find(({ serverNames }) => serverNames.length === 0);
    const named = chains.filter((chain) => chain !== usual);
    const chainOf = (chain: ChainModel): ListenerChain => ({
      ...{ name: chain.name, serverNames: chain.serverNames, alpn: alpnOf[chain.protocol] },
      ...this.#chainTls(chain),
      admit: this.#admits(chain, met.get(chain.name)),
      ...(prepare !== undefined && chain.tls?.trust === 'own' && { prepare }),
    });
    const { serverNames: _, name: __, ...own } = chainOf(usual ?? first);
    return createMtlsListener({
      ...{ ...shared, ...own, minVersion: first.tls.minVersion },
      ...(handshakeTimeoutMs !== undefined && { handshakeTimeoutMs }),
      staple: (svid) => this.#options.credentials.stapleOf(svid, clock.now()) ?? staple?.(svid),
      suites: first.tls.suites,
      ...(named.length > 0 && { chains: named.map(chainOf) }),
      refusesOtherNames: usual === undefined,
      allowHalfOpen: chains.every(isTunnel),
      ...(proxyProtocolFrom !== undefined && {
        proxyProtocol: { trusts: withinNetworks(proxyProtocolFrom) },
      }),
      onConnection: (socket, _peer, live) => {
        const chain = byName.get(live.facts.chain ?? '') ?? usual ?? first;
        this.#take(chain, met.get(chain.name), socket, live);
      },
      ...(!chains.every(isTunnel) && {
        onRefused: (socket, refusal, facts, peer) => {
          const chain = byName.get(facts.chain ?? '') ?? usual ?? first;
          if (isTunnel(chain)) socket.destroy();
          else onHttp(socket, { refusal, peer });
        },
      }),
    });
  }

  #metAt(chain: ChainModel): Partial<MetAt> {
    const { protocol, table = '', tls, identityHeaders: certDetails, logsAccess = false } = chain;
    const rbac = chain.rbac?.length ? rbacTest(chain.rbac) : undefined;
    const { credentials } = this.#options;
    const shown = tls && credentials.identityOf(tls.identity);
    return {
      ...{ protocol: protocol === 'tcp' ? 'tcp' : 'http', table, certDetails, logsAccess, rbac },
      trust: tls && credentials.trustOf(tls.trust),
      by: () => shown?.svid().spiffeId?.toString(),
    };
  }

  #chainTls({
    tls,
  }: ChainModel): Pick<ListenerChain, 'svids' | 'bundles' | 'profile' | 'clientAuth'> {
    const { credentials } = this.#options;
    const { identity = 'own', trust = 'own', clientAuth = 'none' } = tls ?? {};
    const { bundles, profile } = credentials.trustOf(trust);
    return { svids: credentials.identityOf(identity), bundles, profile, clientAuth };
  }

  /** Whoever may hold a connection at all is admitted; each request is asked about on its own. */
  #admits({ tls }: ChainModel, met: Partial<MetAt> = {}): NonNullable<ListenerChain['admit']> {
    const { facts } = this.#options;
    const { protocol = 'http', trust } = met;
    const isExpected = tls?.expect === undefined ? undefined : expectationOf(tls.expect);
    return (peer, shown) => {
      if (isExpected !== undefined && !isAnonymous(peer)) {
        const expected = isExpected(peer);
        if (!expected.ok) return expected;
      }
      return ask(facts, { peer, connection: connectionOf(shown), protocol, trust });
    };
  }

  #take(
    { cluster }: ChainModel,
    met: Partial<MetAt> | undefined,
    socket: Socket,
    live: LiveConnection,
  ): void {
    // It closed while it was judged: nothing would ever take it off the list.
    if (socket.closed) return;
    const session = new Session(live, met);
    this.#sessions.set(live, session);
    socket.once('close', () => this.#sessions.delete(live));
    if (cluster === undefined) this.#options.onHttp(socket, session);
    else this.#options.onTunnel(session, cluster);
  }
}

function isTunnel({ protocol }: ChainModel): boolean {
  return protocol === 'tcp';
}

/** RFC 7301, in our order of preference. Who passes bytes through does not know what they are. */
const alpnOf: Readonly<Record<ChainModel['protocol'], readonly string[]>> = {
  h1: ['http/1.1'],
  h2: ['h2'],
  auto: ['h2', 'http/1.1'],
  tcp: [],
};

function inUrl(address: string): string {
  return isIP(address) === 6 ? `[${address}]` : address;
}
