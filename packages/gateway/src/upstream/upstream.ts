import { connect as connectTcp } from 'node:net';
import { type Clock, CountersignError, type Log } from '@countersign/base';
import {
  type Dialled,
  dialMtls,
  httpAlpn,
  type IdentitySource,
  type LiveConnection,
  type LiveConnections,
  type StillAllowed,
  type TlsIdentity,
} from '@countersign/mtls';
import type { RevocationSource, VerifiedPeer } from '@countersign/spiffe';
import { SignatureCache } from '@countersign/x509';
import { expectationOf } from '../expect-names.ts';
import type { Credentials } from '../files/credentials.ts';
import type {
  ClusterModel,
  EndpointModel,
  KeepAliveModel,
  UpstreamTlsModel,
} from '../model/cluster-model.ts';
import type { Trust } from '../reask.ts';
import type { Admission } from './admission.ts';
import { authorityOf, Connections, type UpstreamSocket } from './connections.ts';
import type { UpstreamHandler, UpstreamRequest } from './upstream-request.ts';

export interface UpstreamSurroundings {
  readonly credentials: Pick<Credentials, 'identityOf' | 'trustOf'>;
  /** Looks up what `allowed` has to know of an upstream that the gateway's own trust vouches for. */
  readonly prepare: NonNullable<RevocationSource['prepare']>;
  /** Whether a verified upstream may be talked to now: revocation and expiry. */
  readonly allowed: (peer: VerifiedPeer, trust: Trust) => StillAllowed;
  /** Registry of the connections to upstreams. */
  readonly connections: LiveConnections;
  /** Who vouches for each of them. */
  readonly trusts: WeakMap<LiveConnection, Trust>;
  readonly clock: Clock;
  readonly log: Log;
}

/** How a connection is opened that its opener has to itself. */
export interface OpenOptions {
  readonly alpn: readonly string[];
  /** Written before the handshake, in the clear: a PROXY header. */
  readonly preamble?: Uint8Array;
  readonly allowHalfOpen?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Pooled connections to one endpoint of a cluster, all of them verified to be the identity that the cluster expects.
 * They are renewed, make before break, when our own identity rotates or the upstream's certificate nears its end: new
 * requests dial new connections, those in flight end on the old ones.
 */
export class Upstream {
  readonly endpoint: EndpointModel;
  /** Its place on a ring: address and port, as Envoy writes them. */
  readonly key: string;
  /** Requests that are on their way; kept by who sends them. */
  inFlight = 0;
  /** Kept by who judges it. */
  isEjected = false;
  ejections = 0;
  failsChecks = false;
  readonly #cluster: ClusterModel;
  readonly #around: UpstreamSurroundings;
  readonly #admission: Admission;
  readonly #signatures = new SignatureCache();
  #connections: Connections;
  #svid: TlsIdentity | undefined;
  #renewAt = Number.POSITIVE_INFINITY;
  readonly #draining = new Set<Connections>();
  /** For health checks, whose connection no request waits for. */
  #probes: Connections | undefined;

  /** @throws CountersignError ERR_SVID_NONE */
  constructor(
    cluster: ClusterModel,
    endpoint: EndpointModel,
    surroundings: UpstreamSurroundings,
    admission: Admission,
  ) {
    this.#admission = admission;
    this.endpoint = endpoint;
    this.key = authorityOf(endpoint);
    this.#cluster = cluster;
    this.#around = surroundings;
    this.#svid = this.#ownSvid();
    this.#connections = this.#open();
  }

  get weight(): number {
    return this.endpoint.weight;
  }

  /** Sends a request; what becomes of it is told to `handler`. */
  dispatch(request: UpstreamRequest, handler: UpstreamHandler): void {
    this.#renewIfDue();
    const mayWait = this.#cluster.limits.maxPending !== undefined;
    if (!mayWait || this.#connections.hasRoom(request)) {
      return void this.#connections.dispatch(request, handler);
    }
    const waiting = this.#admission.waiting(handler);
    if (waiting !== undefined) this.#connections.dispatch(request, waiting);
    else handler.onResponseError(undefined, this.#admission.overflow());
  }

  /** Sends the request of a health check. */
  probe(request: UpstreamRequest, handler: UpstreamHandler): void {
    this.#renewIfDue();
    this.#probes ??= this.#open(1);
    this.#probes.dispatch(request, handler);
  }

  /** Name and port, for requests that nobody named a host for. */
  get authority(): string {
    return authorityOf({ ...this.endpoint, host: this.endpoint.name ?? this.endpoint.host });
  }

  /** Whether it may be sent requests. */
  get isFit(): boolean {
    return !this.isEjected && !this.failsChecks;
  }

  /** @throws CountersignError as `dialMtls` */
  open(options: OpenOptions): Promise<UpstreamSocket> {
    return this.#dial(options);
  }

  /** Lets requests in flight end, then closes every connection. */
  async close(): Promise<void> {
    await Promise.all(this.#all().map((each) => each.close()));
  }

  /** Ends everything at once. */
  async destroy(): Promise<void> {
    await Promise.all(this.#all().map((each) => each.destroy()));
  }

  #all(): Connections[] {
    const probes = this.#probes === undefined ? [] : [this.#probes];
    return [...this.#draining, this.#connections, ...probes];
  }

  /** What connections are made with; undefined in clear text. */
  #ownSvid(): TlsIdentity | undefined {
    return this.#cluster.tls === undefined ? undefined : this.#shown(this.#cluster.tls)?.svid();
  }

  #shown({ identity }: UpstreamTlsModel): IdentitySource | undefined {
    return identity === 'none' ? undefined : this.#around.credentials.identityOf(identity);
  }

  #renewIfDue(): void {
    if (this.#cluster.tls === undefined) return;
    const svid = this.#ownSvid();
    const due = this.#around.clock.now() >= this.#renewAt;
    if (svid === this.#svid && !due) return;
    this.#drain(this.#connections);
    if (this.#probes !== undefined) this.#drain(this.#probes);
    this.#probes = undefined;
    this.#svid = svid;
    this.#renewAt = Number.POSITIVE_INFINITY;
    this.#connections = this.#open();
  }

  #drain(old: Connections): void {
    this.#draining.add(old);
    void old
      .close()
      .catch((thrown) => this.#around.log.debug({ err: thrown }, 'old upstream pool broke'))
      .finally(() => this.#draining.delete(old));
  }

  #open(maxConnections = this.#cluster.maxConnections): Connections {
    const { log } = this.#around;
    const dial = (alpn: readonly string[] = httpAlpn) => this.#dial({ alpn });
    const cluster = { ...this.#cluster, maxConnections };
    return new Connections({ cluster, endpoint: this.endpoint, dial, log });
  }

  async #dial(options: OpenOptions): Promise<UpstreamSocket> {
    const { tls, keepAlive } = this.#cluster;
    const socket = await (tls === undefined
      ? this.#dialClear(options)
      : this.#dialTls(options, tls));
    if (keepAlive !== undefined) keepTcpAlive(socket, keepAlive);
    return socket;
  }

  async #dialTls(
    { preamble, ...options }: OpenOptions,
    tls: UpstreamTlsModel,
  ): Promise<UpstreamSocket> {
    const { credentials, clock, connections, allowed } = this.#around;
    const { host, port, name } = this.endpoint;
    const trust = credentials.trustOf(tls.trust);
    const { bundles, revocation, profile } = trust;
    const prepare =
      tls.trust === 'own' ? this.#around.prepare : revocation.prepare?.bind(revocation);
    const svids = this.#shown(tls);
    const isExpected = expectationOf(tls.expect, name ?? host);
    const dialled = await dialMtls({
      ...{ host, port, ...options },
      ...{ bundles, profile, clock, connections, signatures: this.#signatures },
      ...(svids !== undefined && { svids }),
      ...(prepare !== undefined && { prepare }),
      ...(tls.minVersion !== undefined && { minVersion: tls.minVersion }),
      servername: tls.serverName ?? name ?? host,
      ...(preamble !== undefined && { preamble }),
      timeoutMs: this.#cluster.connectTimeoutMs,
      asksForStaple: revocation.asksForStaples ?? false,
      expect: (peer) => {
        const expected = isExpected(peer);
        return expected.ok ? allowed(peer, trust) : expected;
      },
    });
    if (dialled.live !== undefined) this.#around.trusts.set(dialled.live, trust);
    this.#scheduleRenewal(dialled, trust);
    return dialled.socket;
  }

  async #dialClear({ preamble, allowHalfOpen, signal }: OpenOptions): Promise<UpstreamSocket> {
    const { host, port, path } = this.endpoint;
    const attempted = `connect to "${path ?? `${host}:${port}`}"`;
    const ms = this.#cluster.connectTimeoutMs;
    const how = { noDelay: true, allowHalfOpen: allowHalfOpen ?? false };
    const socket = connectTcp(path === undefined ? { host, port, ...how } : { path, ...how });
    const over = new AbortController();
    try {
      await new Promise<void>((resolve, reject) => {
        const give = (
          code: 'ERR_DIAL_UNREACHABLE' | 'ERR_DIAL_TIMEOUT' | 'ERR_DIAL_ABORTED',
          reason: string,
          cause?: unknown,
        ) => reject(new CountersignError(code, `${attempted}: ${reason}`, { cause }));
        socket.once('connect', resolve);
        socket.once('error', (thrown: Error & { code?: string }) =>
          give('ERR_DIAL_UNREACHABLE', thrown.code ?? thrown.message, thrown),
        );
        const aborted = () => give('ERR_DIAL_ABORTED', 'given up');
        signal?.addEventListener('abort', aborted, { once: true, signal: over.signal });
        if (signal?.aborted) aborted();
        this.#around.clock.sleep(ms, { signal: over.signal, ref: false }).then(
          () => give('ERR_DIAL_TIMEOUT', `no connection within ${ms} ms`),
          () => {},
        );
      });
    } catch (thrown) {
      socket.destroy();
      throw thrown;
    } finally {
      over.abort();
      // What breaks later is told to whoever reads or writes; without a listener it would end the process.
      socket.on('error', () => {});
    }
    if (preamble !== undefined) socket.write(preamble);
    return socket;
  }

  /**
   * A fifth of its lifetime before the upstream's certificate ends, or what it showed of its revocation; sooner and
   * sooner while it is not renewed.
   */
  #scheduleRenewal({ peer }: Dialled, { revocation }: Trust): void {
    const { clock } = this.#around;
    const now = clock.now();
    const shownUntil = revocation.shownUntil?.(peer) ?? Number.POSITIVE_INFINITY;
    const end = Math.min(peer.notAfter, shownUntil);
    const from = shownUntil < peer.notAfter ? now : peer.leaf.notBefore;
    const early = end - (end - from) / 5;
    const patient = now + Math.max(1000, (end - now) / 4);
    this.#renewAt = Math.min(this.#renewAt, Math.max(early, patient));
  }
}

/** Node takes interval and count as well, whatever its types say. */
function keepTcpAlive(socket: UpstreamSocket, keepAlive: KeepAliveModel): void {
  const { timeMs, intervalMs, probes } = keepAlive;
  const words: unknown[] = [true, timeMs, intervalMs, probes];
  (socket.setKeepAlive as (...args: unknown[]) => unknown).apply(socket, words);
}
