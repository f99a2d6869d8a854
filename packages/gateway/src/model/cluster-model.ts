import type { HashModel } from './hash-model.ts';
import type { HealthCheckModel, OutlierModel } from './health-model.ts';
import type { TextMatch } from './text-match.ts';

/** Where requests are sent to, and how those who answer there are told from others. */
export interface ClusterModel {
  readonly name: string;
  readonly endpoints: readonly EndpointModel[];
  /**
   * `name`: each endpoint is dialled by its name, which is looked up for each connection. `addresses`: every address
   * that the names have is an endpoint; they are looked up again at times.
   */
  readonly discovery: 'name' | 'addresses';
  /** Only addresses of this version of IP; absent: of both. */
  readonly dnsFamily?: 4 | 6;
  /** Names are looked up when their time to live is over; `dnsRefreshMs` after a failure. */
  readonly dnsFollowsTtl?: boolean;
  /** How often names are looked up, where their addresses are endpoints. */
  readonly dnsRefreshMs: number;
  /**
   * The version of HTTP; `auto` is what the upstream chooses (ALPN). Absent: HTTP/1.1, and HTTP/2 for gRPC.
   */
  readonly protocol?: 'h1' | 'h2' | 'auto';
  /** Absent: clear text. */
  readonly tls?: UpstreamTlsModel;
  readonly balancing: 'round-robin' | 'least-request' | 'random' | 'ring-hash';
  /** Of ring hash: how many places there are. */
  readonly ring?: { readonly minSize: number; readonly maxSize: number };
  /** Of ring hash: what of a request says its place, where its route says nothing. */
  readonly hash?: readonly HashModel[];
  /** Absent: however an endpoint answers, it takes requests. */
  readonly outliers?: OutlierModel;
  readonly healthCheck?: HealthCheckModel;
  /** Below this share of fit endpoints all of them take requests; 0: never. Absent: 50. */
  readonly panicPercent?: number;
  readonly connectTimeoutMs: number;
  /** Until the head of the response; 0 waits for ever. */
  readonly headersTimeoutMs: number;
  /** Between two pieces of the response body, and in a tunnel; 0 waits for ever. */
  readonly idleTimeoutMs: number;
  /** To each endpoint; further requests wait for one. */
  readonly maxConnections: number;
  readonly limits: ClusterLimits;
  readonly pool?: PoolModel;
  /** TCP keep-alive; absent: none. */
  readonly keepAlive?: KeepAliveModel;
  /**
   * Tells the upstream of the client before the handshake; of tunnels alone. `v2`: all that is known, `v2-tls`: nothing of
   * its certificate, `v2-addresses`: both ends alone.
   */
  readonly proxyProtocol?: 'v2' | 'v2-tls' | 'v2-addresses';
  /** Of tunnels: how long one side may go on after the other has said its last; 0 ends both at once. Absent: for ever. */
  readonly closeTimeoutMs?: number;
  /** Of tunnels: how long they may last. Absent: for ever. */
  readonly maxLifetimeMs?: number;
}

export interface EndpointModel {
  /** DNS name or IP address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** Of tunnels in clear text: a Unix socket that is dialled instead. */
  readonly path?: string;
  /** The name that `host` is an address of. */
  readonly name?: string;
  /** At least 1. */
  readonly weight: number;
}

/** What becomes of open connections; what is absent has no bound, or the usual one. */
export interface PoolModel {
  /** A connection ends after so many requests. */
  readonly maxRequests?: number;
  /** A connection without a request is closed then; 4 s of HTTP/1.1, a minute of HTTP/2. */
  readonly idleMs?: number;
  /** A connection takes no more requests then. */
  readonly maxAgeMs?: number;
  /** Requests at a time on one connection of HTTP/2; 100. */
  readonly maxStreams?: number;
}

/** What is absent is as the system has it. */
export interface KeepAliveModel {
  /** Without a byte, before the first probe. */
  readonly timeMs?: number | undefined;
  readonly intervalMs?: number | undefined;
  readonly probes?: number | undefined;
}

export interface ClusterLimits {
  /** Requests under way at the same time; further ones are refused. */
  readonly maxRequests: number;
  /** Requests that wait for a connection; further ones are refused. Absent: any number. */
  readonly maxPending?: number;
  /** Retries under way at the same time. */
  readonly maxRetries: number;
  /** Instead of `maxRetries`: a share of the requests under way, and at least so many. */
  readonly retryBudget?: { readonly percent: number; readonly minConcurrency: number };
}

export interface UpstreamTlsModel {
  /** What we show: `own` is the gateway's identity, `none` no certificate, else a name of the model's identities. */
  readonly identity: 'own' | 'none' | { readonly name: string };
  /** Who vouches for the upstream: `own` is the bundle of the gateway's identity, else a name of the model's trusts. */
  readonly trust: 'own' | { readonly name: string };
  /** SNI; the endpoint's name unless given. */
  readonly serverName?: string;
  readonly expect: PeerExpectation;
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3';
}

/** Who a peer has to be, beside being vouched for; all that is given has to hold. */
export interface PeerExpectation {
  /** Any of these. */
  readonly spiffeIds?: readonly string[];
  /** Any of these among its subject alternative names. */
  readonly names?: readonly NameMatch[];
  /** Any of these of its certificate. */
  readonly patterns?: readonly PeerPattern[];
  /** The name or address that was dialled. */
  readonly dialledName?: boolean;
}

/** Of the subject's common name or one of its organisational units, or of a subject alternative name. */
export interface PeerPattern {
  readonly kind: 'uri' | 'dns' | 'ip' | 'cn' | 'ou';
  /** Compared whole; a URI may have `*` for a segment and `**` for the rest. */
  readonly text: string;
}

export interface NameMatch {
  /** Absent: a name of any kind. */
  readonly type?: 'dns' | 'uri' | 'email' | 'ip';
  readonly value: TextMatch;
}
