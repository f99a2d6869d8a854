import type { CorsModel } from './cors.ts';
import type { HashModel } from './hash-model.ts';
import type { HeaderOperations } from './header-operations.ts';
import type { RateLimitModel } from './rate-limit-model.ts';
import type { RequestMatch } from './request-match.ts';

/** Which requests go where, for the listeners that name it. Plain data: what it compiles to is a `RouteTable`. */
export interface RouteTableModel {
  readonly name: string;
  readonly hosts: readonly VirtualHostModel[];
  /** Domains are compared with the host as sent, its port included. */
  readonly comparesPorts?: boolean;
}

export interface VirtualHostModel {
  readonly name: string;
  /** Lowercase: a name, `*.example.com`, `www.*`, or `*` for every other. The most specific takes the request. */
  readonly domains: readonly string[];
  /** The first match takes the request. */
  readonly routes: readonly RouteModel[];
  /** Clear text is answered with where the same is over TLS. */
  readonly redirectsToTls?: boolean;
}

export interface RouteModel {
  /** For logs. */
  readonly name: string;
  readonly match: RequestMatch;
  readonly action: RouteAction;
  readonly cors?: CorsModel;
  /** What its callers may ask. */
  readonly rateLimits?: readonly RateLimitModel[];
  /** In this order. */
  readonly responseHeaders?: readonly HeaderOperations[];
}

export type RouteAction = ForwardAction | RedirectAction | RespondAction;

export interface ForwardAction {
  readonly kind: 'forward';
  /** At least one; of several, each takes its share by weight. */
  readonly targets: readonly TargetModel[];
  readonly requestHeaders?: readonly HeaderOperations[];
  /** For clusters of ring hash; absent: as the cluster has it. */
  readonly hash?: readonly HashModel[];
  readonly rewrite?: RewriteModel;
  /** From the whole request to the whole response, retries included; 0 or absent: none. */
  readonly timeoutMs?: number;
  /** Until the head of each response; absent: as the cluster has it. */
  readonly headersTimeoutMs?: number;
  /** Without a byte of the response; absent: as the cluster has it. */
  readonly idleTimeoutMs?: number;
  readonly retries?: RetryModel;
  readonly mirrors?: readonly MirrorModel[];
  readonly fault?: FaultModel;
}

export interface TargetModel {
  readonly cluster: string;
  readonly weight: number;
  readonly requestHeaders?: HeaderOperations;
  readonly responseHeaders?: HeaderOperations;
  /** Host that the upstream is told, instead of the route's. */
  readonly host?: string;
}

export interface RewriteModel {
  /** What stands for the part of the path that the match covered. */
  readonly path?: string | undefined;
  /** Every part of the path that matches; `\1` is what its first group took. */
  readonly expression?: { readonly pattern: string; readonly substitution: string } | undefined;
  readonly host?: string | undefined;
  /** The host is the name of the endpoint. */
  readonly hostOfEndpoint?: boolean | undefined;
}

export interface RetryModel {
  /** Beyond the first. */
  readonly attempts: number;
  /** Until the head of each response; 0: none. */
  readonly perTryTimeoutMs: number;
  readonly on: readonly RetryCondition[];
  readonly statuses: readonly number[];
  /** The first pause is up to this long, each further one up to twice as long as the one before. */
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
  /** Endpoints that were tried are passed over where there are others. */
  readonly avoidsTried: boolean;
}

/** Envoy's words. */
export type RetryCondition =
  | '5xx'
  | 'gateway-error'
  | 'reset'
  | 'reset-before-request'
  | 'envoy-ratelimited'
  | 'connect-failure'
  | 'refused-stream'
  | 'retriable-4xx'
  | 'retriable-status-codes'
  | 'cancelled'
  | 'deadline-exceeded'
  | 'internal'
  | 'resource-exhausted'
  | 'unavailable';

export interface MirrorModel {
  readonly cluster: string;
  /** 0 to 100. */
  readonly percent: number;
}

export interface FaultModel {
  readonly delay?: { readonly ms: number; readonly percent: number };
  readonly abort?: {
    readonly status: number;
    readonly grpcStatus?: number;
    readonly percent: number;
  };
}

/** What is absent stays as it was asked for. */
export interface RedirectAction {
  readonly kind: 'redirect';
  readonly status: number;
  readonly scheme?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  /** Whole; its own query, where it has one, replaces the request's. */
  readonly path?: string | undefined;
  /** What stands for the part of the path that the match covered. */
  readonly prefix?: string | undefined;
  readonly expression?: { readonly pattern: string; readonly substitution: string } | undefined;
  readonly dropsQuery?: boolean | undefined;
}

export interface RespondAction {
  readonly kind: 'respond';
  readonly status: number;
  readonly body?: string;
}
