import { isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import {
  addReports,
  type ConnectionScope,
  type CutReport,
  createMtlsListener,
  type LiveConnection,
  type MtlsListener,
  type MtlsListenerOptions,
  type StillAllowed,
} from '@countersign/mtls';
import type { RefusedConnection } from './handle-request.ts';
import { withinNetworks } from './listener-config.ts';
import type { ChainModel, ListenerModel } from './model/listener-model.ts';
import { ask, connectionOf, type Facts } from './reask.ts';
import { Session } from './session.ts';

export interface ClientListenersOptions
  extends Pick<
    MtlsListenerOptions,
    | 'svids'
    | 'bundles'
    | 'prepare'
    | 'staple'
    | 'handshakeTimeoutMs'
    | 'maxConnections'
    | 'clock'
    | 'log'
    | 'meter'
  > {
  readonly listeners: readonly ListenerModel[];
  readonly facts: Facts;
  /** Takes a connection that speaks HTTP, one that was refused included: it is told so. */
  readonly onHttp: (socket: TLSSocket, from: Session | RefusedConnection) => void;
  /** Takes a connection whose bytes go to this cluster. */
  readonly onTunnel: (session: Session, cluster: string) => void;
}

/** A listener that is open. */
export interface BoundListener {
  readonly name: string;
  /** `https://host:port`, or `tcp://host:port`. */
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
        const scheme = model.chains[0].protocol === 'tcp' ? 'tcp' : 'https';
        bound.push({ name: model.name, url: `${scheme}://${inUrl(address)}:${port}`, port });
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
      ...{ name, protocol: chains[0].protocol, clientAuth: chains[0].tls.clientAuth },
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

  #open({ name, chains, proxyProtocolFrom }: ListenerModel): MtlsListener {
    const { facts, onHttp, onTunnel, listeners: _, ...shared } = this.#options;
    const [{ protocol, tls, table, cluster }] = chains;
    const { clientAuth, minVersion } = tls;
    const isTunnel = protocol === 'tcp';
    return createMtlsListener({
      ...{ ...shared, name, clientAuth, minVersion, alpn: alpnOf[protocol] },
      allowHalfOpen: isTunnel,
      ...(proxyProtocolFrom !== undefined && {
        proxyProtocol: { trusts: withinNetworks(proxyProtocolFrom) },
      }),
      // Whoever may hold a connection at all is admitted; each request is asked about on its own.
      admit: (peer, met) =>
        ask(facts, { peer, connection: connectionOf(met), protocol: isTunnel ? 'tcp' : 'http' }),
      onConnection: (socket, _peer, live) => {
        // It closed while it was judged: nothing would ever take it off the list.
        if (socket.closed) return;
        const session = new Session(live, isTunnel ? 'tcp' : 'http', table);
        this.#sessions.set(live, session);
        socket.once('close', () => this.#sessions.delete(live));
        if (cluster === undefined) onHttp(socket, session);
        else onTunnel(session, cluster);
      },
      ...(!isTunnel && {
        onRefused: (socket, refusal, _facts, peer) => onHttp(socket, { refusal, peer }),
      }),
    });
  }
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
