import { type TunnelUpstreamConfig, tunnelAddress } from '../listener-config.ts';
import { usualRing } from '../upstream/balancer.ts';
import {
  type BalancingConfig,
  type HealthCheckConfig,
  type OutlierConfig,
  type UpstreamConfig,
  urlsOf,
} from '../upstream-config.ts';
import type {
  ClusterLimits,
  ClusterModel,
  EndpointModel,
  UpstreamTlsModel,
} from './cluster-model.ts';
import type { HashSource } from './hash-model.ts';
import type { HealthCheckModel, HealthQuestion, OutlierModel } from './health-model.ts';

/** Upstreams that are written alike are one. */
export class ClusterNames {
  readonly #byKey = new Map<string, ClusterModel>();

  all(): ClusterModel[] {
    return [...this.#byKey.values()];
  }

  of(upstream: UpstreamConfig): string {
    const { protocol, spiffeId, timeout, idleTimeout, connectTimeout, maxConnections } = upstream;
    const endpoints = urlsOf(upstream).map(({ url, weight }) => ({ ...endpointOf(url), weight }));
    return this.#take(upstream, {
      ...{ endpoints, ...discoveryOf(upstream) },
      ...(protocol !== undefined && { protocol }),
      ...(spiffeId !== undefined && { tls: tlsOf(spiffeId) }),
      ...balancingOf(upstream.balancing),
      ...healthOf(upstream),
      ...{ connectTimeoutMs: connectTimeout, maxConnections },
      ...{ headersTimeoutMs: timeout, idleTimeoutMs: idleTimeout, limits: limitsOf(upstream) },
      ...poolOf(upstream),
    });
  }

  ofTunnel(upstream: TunnelUpstreamConfig): string {
    const { url, spiffeId, connectTimeout, idleTimeout, proxyProtocol } = upstream;
    const { closeTimeout, maxLifetime } = upstream;
    return this.#take(upstream, {
      ...{ endpoints: [{ ...tunnelAddress(url), weight: 1 }], discovery: 'name', dnsRefreshMs: 0 },
      ...(spiffeId !== undefined && { tls: tlsOf(spiffeId) }),
      ...{ balancing: 'round-robin', connectTimeoutMs: connectTimeout },
      ...(closeTimeout !== undefined && { closeTimeoutMs: closeTimeout }),
      ...(maxLifetime !== undefined && { maxLifetimeMs: maxLifetime }),
      ...{ headersTimeoutMs: 0, idleTimeoutMs: idleTimeout, maxConnections: 65_536 },
      limits: usualLimits,
      ...(proxyProtocol !== undefined && { proxyProtocol }),
    });
  }

  #take(written: object, model: Omit<ClusterModel, 'name'>): string {
    const key = JSON.stringify(written);
    const known = this.#byKey.get(key);
    if (known !== undefined) return known.name;
    const [{ host, port } = { host: '', port: 0 }] = model.endpoints;
    const taken = new Set(this.all().map(({ name }) => name));
    let name = `${host}:${port}`;
    for (let n = 2; taken.has(name); n += 1) name = `${host}:${port} ${n}`;
    this.#byKey.set(key, { name, ...model });
    return name;
  }
}

function balancingOf(written: BalancingConfig): Pick<ClusterModel, 'balancing' | 'ring' | 'hash'> {
  if (typeof written === 'string') return { balancing: written };
  const { hash, minRingSize: minSize } = written;
  const ring = { minSize, maxSize: Math.max(minSize, usualRing.maxSize) };
  return { balancing: 'ring-hash', ring, hash: hash.map((each) => ({ of: hashSourceOf(each) })) };
}

function hashSourceOf(written: Exclude<BalancingConfig, string>['hash'][number]): HashSource {
  if (written === 'sourceAddress') return { kind: 'source-address' };
  if ('header' in written) return { kind: 'header', name: written.header.toLowerCase() };
  if ('query' in written) return { kind: 'query', name: written.query };
  const { name, ttl, path } = written.cookie;
  return {
    ...{ kind: 'cookie', name },
    ...(ttl !== undefined && { ttlMs: ttl }),
    ...(path !== undefined && { path }),
  };
}

function healthOf({
  outlierDetection,
  healthCheck,
}: UpstreamConfig): Pick<ClusterModel, 'outliers' | 'healthCheck' | 'panicPercent'> {
  const panicPercent = outlierDetection?.minHealthPercent;
  return {
    ...(outlierDetection !== undefined && { outliers: outliersOf(outlierDetection) }),
    ...(panicPercent !== undefined && { panicPercent }),
    ...(healthCheck !== undefined && { healthCheck: healthCheckOf(healthCheck) }),
  };
}

function outliersOf(written: OutlierConfig): OutlierModel {
  return {
    ...{ intervalMs: written.interval, baseEjectionMs: written.baseEjectionTime },
    maxEjectionMs: Math.max(written.maxEjectionTime, written.baseEjectionTime),
    maxEjectionPercent: written.maxEjectionPercent,
    alwaysEjectsOne: written.alwaysEjectOneHost,
    consecutive5xx: written.consecutive5xxErrors,
    consecutiveGateway: written.consecutiveGatewayErrors,
    splitsLocalErrors: written.splitExternalLocalOriginErrors,
    consecutiveLocal: written.consecutiveLocalOriginFailures,
  };
}

function healthCheckOf(written: HealthCheckConfig): HealthCheckModel {
  const { interval, timeout, jitter, unhealthyThreshold, healthyThreshold } = written;
  return {
    ask: healthQuestionOf(written),
    ...{ intervalMs: interval, timeoutMs: timeout, jitterMs: jitter, initialJitterMs: jitter },
    ...{ unhealthyThreshold, healthyThreshold, failsAtOnce: false },
  };
}

function healthQuestionOf({ http, tcp, grpc }: HealthCheckConfig): HealthQuestion {
  if (http !== undefined) {
    const { path, host, statuses } = http;
    return {
      ...{ kind: 'http', path, ...(host !== undefined && { host }) },
      statuses: statuses.map((each) =>
        typeof each === 'number' ? [each, each] : [each.from, each.to],
      ),
    };
  }
  if (grpc !== undefined) {
    const { service, authority } = grpc;
    return { kind: 'grpc', service, ...(authority !== undefined && { authority }) };
  }
  const hex = (text: string) => Buffer.from(text).toString('hex');
  const { send, receive } = tcp ?? {};
  return {
    ...{ kind: 'tcp', ...(send !== undefined && { send: hex(send) }) },
    receive: receive === undefined ? [] : [hex(receive)],
  };
}

function discoveryOf({
  dns,
}: UpstreamConfig): Pick<
  ClusterModel,
  'discovery' | 'dnsRefreshMs' | 'dnsFollowsTtl' | 'dnsFamily'
> {
  if (dns === undefined) return { discovery: 'name', dnsRefreshMs: 0 };
  const { refresh, ttl, family } = dns;
  return {
    ...{ discovery: 'addresses', dnsRefreshMs: refresh, dnsFollowsTtl: ttl },
    ...(family !== undefined && { dnsFamily: family }),
  };
}

function limitsOf({ limits = {} }: UpstreamConfig): ClusterLimits {
  const { maxRequests, maxPendingRequests: maxPending, maxRetries, retryBudget } = limits;
  const { retryBudget: usualBudget, ...usual } = usualLimits;
  const budget = retryBudget ?? (maxRetries === undefined ? usualBudget : undefined);
  return {
    ...usual,
    ...(maxRequests !== undefined && { maxRequests }),
    ...(maxPending !== undefined && { maxPending }),
    ...(maxRetries !== undefined && { maxRetries }),
    ...(budget !== undefined && { retryBudget: budget }),
  };
}

function poolOf({ connections = {} }: UpstreamConfig): Pick<ClusterModel, 'pool' | 'keepAlive'> {
  const { maxRequests, idleTimeout: idleMs, maxAge: maxAgeMs, maxStreams, keepAlive } = connections;
  return {
    pool: {
      ...(maxRequests !== undefined && { maxRequests }),
      ...(idleMs !== undefined && { idleMs }),
      ...(maxAgeMs !== undefined && { maxAgeMs }),
      ...(maxStreams !== undefined && { maxStreams }),
    },
    ...(keepAlive !== undefined && {
      keepAlive: {
        ...{ timeMs: keepAlive.time, intervalMs: keepAlive.interval, probes: keepAlive.probes },
      },
    }),
  };
}

/** With a budget, so that retries never make a failing upstream's load much worse. */
const usualLimits = {
  maxRequests: Number.MAX_SAFE_INTEGER,
  maxRetries: 3,
  retryBudget: { percent: 20, minConcurrency: 3 },
};

function tlsOf(spiffeId: string | readonly string[]): UpstreamTlsModel {
  const spiffeIds = typeof spiffeId === 'string' ? [spiffeId] : spiffeId;
  return { identity: 'own', trust: 'own', expect: { spiffeIds } };
}

/** The address of an upstream, as it is dialled. */
export function endpointOf(text: string): EndpointModel {
  const url = new URL(text);
  const usual = url.protocol === 'http:' ? 80 : 443;
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? usual : Number(url.port),
    weight: 1,
  };
}
