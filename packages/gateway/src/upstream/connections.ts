import type { Socket } from 'node:net';
import { CountersignError, type Log } from '@countersign/base';
import { Pool } from 'undici';
import type { ClusterModel, EndpointModel } from '../model/cluster-model.ts';
import { H2Sessions } from './h2-sessions.ts';
import type { UpstreamHandler, UpstreamRequest } from './upstream-request.ts';

export interface ConnectionsOptions {
  readonly cluster: ClusterModel;
  readonly endpoint: EndpointModel;
  /** Opens a connection that speaks one of these protocols; in clear text nobody says which. */
  readonly dial: (alpn: readonly string[]) => Promise<UpstreamSocket>;
  readonly log: Log;
}

/** A connection to an upstream, verified unless it is in clear text. */
export type UpstreamSocket = Socket & { readonly alpnProtocol?: string | false | null };

type Version = 'h1' | 'h2';

/**
 * Connections to one upstream made with one identity of ours, by the version of HTTP that the route says. `auto` asks
 * the upstream with its first connection (ALPN, RFC 7301), and goes by the answer from then on. Where nothing is said
 * it is HTTP/1.1, but for gRPC, which knows no other version than 2.
 */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #pool: Pool;
  readonly #sessions: H2Sessions;
  /** Dialled to find out, and not used yet. */
  readonly #spare: UpstreamSocket[] = [];
  #learnt: Version | undefined;
  #learning: Promise<Version> | undefined;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    const { cluster, endpoint } = options;
    const authority = authorityOf(endpoint);
    const { maxConnections, pool = {} } = cluster;
    const { maxRequests, idleMs, maxAgeMs, maxStreams } = pool;
    // An http: origin, because undici reconnects https: ones whenever the Host header changes; the connector does TLS.
    this.#pool = new Pool(`http://${authority}`, {
      connections: maxConnections,
      pipelining: 1,
      headersTimeout: cluster.headersTimeoutMs,
      bodyTimeout: cluster.idleTimeoutMs,
      ...(maxRequests !== undefined && { maxRequestsPerClient: maxRequests }),
      ...(idleMs !== undefined && { keepAliveTimeout: idleMs, keepAliveMaxTimeout: idleMs }),
      ...(maxAgeMs !== undefined && { clientTtl: maxAgeMs }),
      connect: (_request: unknown, callback: Connected) => {
        this.#connect().then(
          (socket) => callback(null, socket),
          (thrown: Error) => callback(thrown, null),
        );
      },
    });
    this.#sessions = new H2Sessions({
      dial: () => this.#dialH2(),
      ...{ authority, maxSessions: maxConnections, log: options.log },
      scheme: cluster.tls === undefined ? 'http' : 'https',
      ...{ maxRequests, maxAgeMs },
      ...(idleMs !== undefined && { idleMs }),
      ...(maxStreams !== undefined && { maxStreams }),
    });
  }

  dispatch(request: UpstreamRequest, handler: UpstreamHandler): void {
    const version = this.#versionFor(request);
    if (version instanceof CountersignError)
      return void handler.onResponseError(undefined, version);
    if (version !== undefined) return void this.#send(version, request, handler);
    this.#learn().then(
      (learnt) => this.#send(learnt, request, handler),
      (thrown: Error) => handler.onResponseError(undefined, thrown),
    );
  }

  /** Whether a connection is free for a request now. */
  hasRoom(request: UpstreamRequest): boolean {
    const version = this.#versionFor(request);
    if (version === 'h1') return this.#pool.stats.free > 0;
    return version === 'h2' && this.#sessions.hasRoom;
  }

  /** Lets requests in flight end, then closes every connection. */
  async close(): Promise<void> {
    for (const socket of this.#spare.splice(0)) socket.destroy();
    await Promise.all([this.#pool.close(), this.#sessions.close()]);
  }

  /** Ends everything at once. */
  async destroy(): Promise<void> {
    for (const socket of this.#spare.splice(0)) socket.destroy();
    await Promise.all([this.#pool.destroy(), this.#sessions.destroy()]);
  }

  /** Undefined: nobody knows yet. */
  #versionFor({ isGrpc }: UpstreamRequest): Version | CountersignError | undefined {
    const { protocol, tls } = this.#options.cluster;
    if (protocol === undefined) return isGrpc ? 'h2' : 'h1';
    if (protocol === 'auto') return tls === undefined ? 'h1' : this.#learnt;
    if (protocol === 'h2' || !isGrpc) return protocol;
    const detail = `gRPC for "${authorityOf(this.#options.endpoint)}", which is spoken to by protocol h1`;
    return new CountersignError('ERR_UPSTREAM_PROTOCOL', detail);
  }

  #send(version: Version, request: UpstreamRequest, handler: UpstreamHandler): void {
    // WebSocket over HTTP/2 is rare among servers, and every one that has it has it over HTTP/1.1.
    const isTunnel = request.upgrade !== undefined && this.#options.cluster.protocol !== 'h2';
    if (version === 'h2' && !isTunnel) this.#sessions.dispatch(request, handler);
    else this.#pool.dispatch(request as never, handler as never);
  }

  #learn(): Promise<Version> {
    this.#learning ??= this.#ask().finally(() => {
      this.#learning = undefined;
    });
    return this.#learning;
  }

  async #ask(): Promise<Version> {
    const socket = await this.#options.dial(['h2', 'http/1.1']);
    if (socket.alpnProtocol === 'h2') {
      await this.#sessions.adopt(socket);
      this.#learnt = 'h2';
    } else {
      this.#spare.push(socket);
      this.#learnt = 'h1';
    }
    return this.#learnt;
  }

  async #connect(): Promise<UpstreamSocket> {
    const spare = this.#spare.pop();
    if (spare !== undefined && !spare.destroyed) return spare;
    return await this.#options.dial(['http/1.1']);
  }

  async #dialH2(): Promise<UpstreamSocket> {
    try {
      const socket = await this.#options.dial(['h2']);
      // RFC 9113 §3.3: in clear text by prior knowledge.
      const isAgreed = socket.alpnProtocol === 'h2' || this.#options.cluster.tls === undefined;
      if (isAgreed) return socket;
      socket.destroy();
    } catch (thrown) {
      this.#learnt = undefined;
      throw thrown;
    }
    // Next time it is asked again.
    this.#learnt = undefined;
    const to = authorityOf(this.#options.endpoint);
    throw new CountersignError('ERR_UPSTREAM_PROTOCOL', `"${to}" does not agree to HTTP/2`);
  }
}

type Connected = (
  ...result: [failed: null, socket: UpstreamSocket] | [failed: Error, socket: null]
) => void;

export function authorityOf({ host, port }: EndpointModel): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
