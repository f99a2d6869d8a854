import type { ClusterModel } from '../model/cluster-model.ts';
import type { HashSource } from '../model/hash-model.ts';
import { usualRing } from '../upstream/balancer.ts';
import type {
  ConsistentHash,
  LoadBalancer,
  OutlierDetectionSpec,
  TrafficPolicy,
} from './destination-rule-schema.ts';

const balancings = {
  UNSPECIFIED: 'least-request',
  LEAST_REQUEST: 'least-request',
  LEAST_CONN: 'least-request',
  ROUND_ROBIN: 'round-robin',
  RANDOM: 'random',
} as const;

export function balancingOf(
  loadBalancer: LoadBalancer | undefined,
): Pick<ClusterModel, 'balancing' | 'ring' | 'hash'> {
  const { simple = 'UNSPECIFIED', consistentHash } = loadBalancer ?? {};
  if (consistentHash === undefined) return { balancing: balancings[simple] };
  const { ringHash, minimumRingSize } = consistentHash;
  const minSize = ringHash?.minimumRingSize || minimumRingSize || usualRing.minSize;
  const of = hashSourceOf(consistentHash);
  return {
    balancing: 'ring-hash',
    ring: { minSize, maxSize: usualRing.maxSize },
    hash: of === undefined ? [] : [{ of }],
  };
}

/** The schema has seen to it that there is one; a source that is not used is none. */
function hashSourceOf(written: ConsistentHash): HashSource | undefined {
  const { httpHeaderName, httpCookie, httpQueryParameterName, useSourceIp } = written;
  if (httpHeaderName !== undefined) return { kind: 'header', name: httpHeaderName.toLowerCase() };
  if (httpQueryParameterName !== undefined) return { kind: 'query', name: httpQueryParameterName };
  if (httpCookie === undefined)
    return useSourceIp === true ? { kind: 'source-address' } : undefined;
  const { name, path, ttl } = httpCookie;
  return {
    ...{ kind: 'cookie', name },
    ...(ttl !== undefined && { ttlMs: ttl }),
    ...(path !== undefined && { path }),
  };
}

/** As Istio tells its proxies: Envoy's defaults, rates not looked at, and no panic unless `minHealthPercent` says so. */
export function outliersOf(
  written: OutlierDetectionSpec | undefined,
): Pick<ClusterModel, 'outliers' | 'panicPercent'> {
  if (written === undefined) return {};
  const { interval, baseEjectionTime: base = 30_000, maxEjectionPercent } = written;
  return {
    outliers: {
      ...{
        intervalMs: interval || 10_000,
        baseEjectionMs: base,
        maxEjectionMs: Math.max(300_000, base),
      },
      ...{ maxEjectionPercent: maxEjectionPercent || 10, alwaysEjectsOne: false },
      consecutive5xx: written.consecutive5xxErrors ?? 5,
      consecutiveGateway: written.consecutiveGatewayErrors ?? 0,
      splitsLocalErrors: written.splitExternalLocalOriginErrors ?? false,
      consecutiveLocal: written.consecutiveLocalOriginFailures ?? 5,
    },
    panicPercent: written.minHealthPercent ?? 0,
  };
}

/** Without a word there are no bounds, as in Istio. */
export function poolOf({
  connectionPool,
  retryBudget,
}: Partial<Pick<TrafficPolicy, 'connectionPool' | 'retryBudget'>>): Pick<
  ClusterModel,
  'limits' | 'pool' | 'keepAlive'
> {
  const { tcp = {}, http = {} } = connectionPool ?? {};
  const { http1MaxPendingRequests: maxPending, maxRequestsPerConnection: maxRequests } = http;
  const { idleTimeout: idleMs, maxConcurrentStreams: maxStreams } = http;
  const { maxConnectionDuration: maxAgeMs, tcpKeepalive: keepAlive } = tcp;
  return {
    limits: {
      maxRequests: http.http2MaxRequests ?? 0x7f_ff_ff_ff,
      maxRetries: http.maxRetries ?? 0x7f_ff_ff_ff,
      ...(maxPending !== undefined && { maxPending }),
      ...(retryBudget !== undefined && {
        retryBudget: {
          percent: retryBudget.percent,
          minConcurrency: retryBudget.minRetryConcurrency,
        },
      }),
    },
    pool: {
      ...(maxRequests !== undefined && maxRequests > 0 && { maxRequests }),
      ...(idleMs !== undefined && { idleMs }),
      ...(maxAgeMs !== undefined && { maxAgeMs }),
      ...(maxStreams !== undefined && { maxStreams: Math.min(maxStreams, 100) }),
    },
    ...(keepAlive !== undefined && {
      keepAlive: {
        ...{ timeMs: keepAlive.time, intervalMs: keepAlive.interval, probes: keepAlive.probes },
      },
    }),
  };
}
