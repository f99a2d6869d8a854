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
  type LiveConnections,
  type MtlsListener,
  type MtlsListenerOptions,
  type StillAllowed,
} from '@countersign/mtls';
import { X509Svid } from '@countersign/spiffe';
import { HopHeaders, namesOfCallers } from './caller-headers.ts';
import { createClearListener } from './clear-listener.ts';
import { expectationOf } from './expect-names.ts';
import type { Credentials } from './files/credentials.ts';
import type { RefusedConnection } from './handle-request.ts';
import { withinNetworks } from './listener-config.ts';
import type { ChainModel, ListenerModel, SidecarRole } from './model/listener-model.ts';
import { rbacTest } from './rbac-test.ts';
import { ask, connectionOf, type Facts, noRules } from './reask.ts';
import { type MetAt, Session } from './session.ts';
import { createMixedListener } from './sidecar/mixed-listener.ts';
import { type MixedPorts, refusalOfPlaintext, strictPorts } from './sidecar/mixed-ports.ts';

/** What an upstream is shown, where it is an SVID. */
function svidOf(source: ReturnType<Credentials['identityOf']>): X509Svid | undefined {
  const svid = source.svid();
  return svid instanceof X509Svid ? svid : undefined;
}

export interface ClientListenersOptions
  extends Pick<
    MtlsListenerOptions,
    | 'prepare'
    | 'staple'
    | 'handshakeTimeoutMs'
    | 'maxConnections'
    | 'maxHandshakes'
    | 'clock'
    | 'log'
    | 'meter'
  > {
  readonly listeners: readonly ListenerModel[];
  /** Of listeners before an application; absent: they take mTLS alone. */
  readonly mixedPorts?: MixedPorts | undefined;
  readonly facts: Facts;
  readonly credentials: Credentials;
  /** Takes a connection that speaks HTTP, one that was refused included: it is told so. */
  readonly onHttp: (socket: Socket, from: Session | RefusedConnection) => void;
  /** Takes a connection of the application, of which it has to be found out where it goes. */
  readonly onOutbound?: ((session: Session, by: 'proxy' | 'redirected') => void) | undefined;
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
  readonly #listeners: readonly Opened[];
  readonly #ports: MixedPorts;
  readonly #withheld: ReadonlySet<string>;
  readonly #sessions = new Map<LiveConnection, Session>();

  /** @throws CountersignError ERR_SVID_NONE, ERR_TLS_CONTEXT */
  constructor(options: ClientListenersOptions) {
    this.#options = options;
    this.#ports = options.mixedPorts ?? strictPorts;
    const chains = options.listeners.flatMap((model) => model.chains);
    this.#withheld = namesOfCallers(chains.map((chain) => chain.callerHeaders));
    this.#listeners = options.listeners.map((model) => this.#open(model));
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
    return this.#listeners.reduce((sum, each) => sum + countOf(each), 0);
  }

  /** For the status page. */
  report(): readonly object[] {
    return this.#listeners.map((each) => {
      const { name, chains, role } = each.model;
      const [{ protocol, tls }] = chains;
      return {
        ...{ name, protocol, clientAuth: tls?.clientAuth ?? 'none' },
        ...(role?.kind === 'inbound' && { port: role.port, mtls: this.#ports.modeOf(name) }),
        connections: countOf(each),
      };
    });
  }

  *[Symbol.iterator](): Generator<LiveConnection, void> {
    for (const { registries } of this.#listeners) for (const each of registries) yield* each;
  }

  reask(ask: (connection: LiveConnection) => StillAllowed, scope: ConnectionScope): CutReport {
    return addReports(
      ...this.#listeners.flatMap(({ registries }) =>
        registries.map((each) => each.reask(ask, scope)),
      ),
    );
  }

  #open(model: ListenerModel): Opened {
    const { role, chains } = model;
    if (role?.kind === 'inbound') return this.#openMixed(model, role);
    const listener = chains[0].tls === undefined ? this.#openClear(model) : this.#openTls(model);
    return { model, listener, registries: [listener.connections] };
  }

  /** Before an application: what mode its port is in, each connection asks. */
  #openMixed(model: ListenerModel, role: SidecarRole & { readonly kind: 'inbound' }): Opened {
    const { handshakeTimeoutMs = 10_000, maxConnections = 10_000, clock, log } = this.#options;
    const { name } = model;
    const [{ tls: _, ...chain }] = model.chains;
    const refusal = () => refusalOfPlaintext(this.#ports, { name, port: role.port });
    const tls = this.#openTls(model);
    const plain = { ...model, name: `${name}:plaintext`, chains: [chain] } as const;
    const clear = this.#openClear(plain, refusal);
    const listener = createMixedListener({
      ...{ name, tls, clear, refusal, clock, log, maxConnections, timeoutMs: handshakeTimeoutMs },
      ...{ allowHalfOpen: isTunnel(chain), serverFirstMs: role.serverFirstMs },
      mode: () => this.#ports.modeOf(name),
      onPlaintext: (address, isRefused) =>
        this.#ports.seen(name, { address, peer: 'plaintext', isRefused }),
    });
    return { model, listener, registries: [tls.connections, clear.connections] };
  }

  #openClear({ name, path, chains, role }: ListenerModel, barred?: MetAt['barred']): MtlsListener {
    const { maxConnections = 10_000, clock, log, meter } = this.#options;
    const [chain] = chains;
    const met = { ...this.#metAt(chain, role), barred };
    return createClearListener({
      ...{ name, path, clock, log, meter, maxConnections },
      allowHalfOpen: isTunnel(chain) || role?.kind === 'proxy' || role?.kind === 'redirected',
      admit: this.#admits(chain, met),
      onConnection: (socket, live) => this.#take(chain, met, socket, live, role),
    });
  }

  #openTls({ name, chains, role, proxyProtocolFrom }: ListenerModel): MtlsListener {
    const { prepare, staple, onHttp, handshakeTimeoutMs, maxConnections, clock, log, meter } =
      this.#options;
    const { maxHandshakes } = this.#options;
    const met = new Map(chains.map((chain) => [chain.name, this.#metAt(chain, role)]));
    const shared = { name, clock, log, meter, maxConnections: maxConnections ?? 10_000 };
    const [first] = chains;
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
      ...{ ...shared, ...own, minVersion: first.tls?.minVersion ?? 'TLSv1.2' },
      ...(handshakeTimeoutMs !== undefined && { handshakeTimeoutMs }),
      ...(maxHandshakes !== undefined && { maxHandshakes }),
      staple: (svid) => this.#options.credentials.stapleOf(svid, clock.now()) ?? staple?.(svid),
      suites: first.tls?.suites,
      ...(named.length > 0 && { chains: named.map(chainOf) }),
      refusesOtherNames: usual === undefined,
      allowHalfOpen: chains.every(isTunnel),
      ...(proxyProtocolFrom !== undefined && {
        proxyProtocol: { trusts: withinNetworks(proxyProtocolFrom) },
      }),
      onConnection: (socket, peer, live) => {
        if (role?.kind === 'inbound') {
          const { sourceAddress: address } = live.facts;
          this.#ports.seen(name, { address, peer, isRefused: false });
        }
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

  #metAt(chain: ChainModel, role?: SidecarRole): Partial<MetAt> {
    const { protocol, table = '', tls, identityHeaders: certDetails, logsAccess = false } = chain;
    const rbac = chain.rbac?.length ? rbacTest(chain.rbac) : undefined;
    const { credentials } = this.#options;
    const shown = tls && credentials.identityOf(tls.identity);
    return {
      ...{ protocol: protocol === 'tcp' ? 'tcp' : 'http', table, certDetails, logsAccess, rbac },
      ...{ refusesUpgrades: chain.refusesUpgrades ?? false, callerHeaders: chain.callerHeaders },
      withheld: this.#withheld,
      hops:
        chain.signsHops === true
          ? new HopHeaders((of) => (of === 'none' ? undefined : svidOf(credentials.identityOf(of))))
          : undefined,
      rateLimits: chain.rateLimits ?? [],
      trust: tls && credentials.trustOf(tls.trust),
      by: () => shown?.svid().spiffeId?.toString(),
      ...(role?.kind === 'inbound' && { port: role.port }),
      // Programs of this machine: no policy is about them.
      ...(role !== undefined && role.kind !== 'inbound' && { rules: noRules }),
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
    const { protocol = 'http', trust, rules, barred, port } = met;
    const isExpected = tls?.expect === undefined ? undefined : expectationOf(tls.expect);
    return (peer, shown) => {
      if (isExpected !== undefined && !isAnonymous(peer)) {
        const expected = isExpected(peer);
        if (!expected.ok) return expected;
      }
      const connection = connectionOf(shown, port);
      return ask(facts, { peer, connection, protocol, trust, rules, barred });
    };
  }

  #take(
    { cluster }: ChainModel,
    met: Partial<MetAt> | undefined,
    socket: Socket,
    live: LiveConnection,
    role?: SidecarRole,
  ): void {
    // It closed while it was judged: nothing would ever take it off the list.
    if (socket.closed) return;
    const session = new Session(live, met);
    this.#sessions.set(live, session);
    socket.once('close', () => this.#sessions.delete(live));
    if (role?.kind === 'proxy' || role?.kind === 'redirected') {
      return void this.#options.onOutbound?.(session, role.kind);
    }
    if (cluster === undefined) this.#options.onHttp(socket, session);
    else this.#options.onTunnel(session, cluster);
  }
}

/** A listener, and the registries of the connections that it took. */
interface Opened {
  readonly model: ListenerModel;
  readonly listener: Pick<MtlsListener, 'listen' | 'close'>;
  readonly registries: readonly LiveConnections[];
}

function countOf({ registries }: Opened): number {
  return registries.reduce((sum, each) => sum + each.count(), 0);
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
