import type { ClusterModel, PoolModel } from '../model/cluster-model.ts';
import type { WrittenCluster } from './envoy-cluster-schema.ts';

/** What may be under way, and what becomes of connections; what is not written is Envoy's default. */
export function envoyPoolOf(
  cluster: WrittenCluster,
): Pick<ClusterModel, 'maxConnections' | 'limits' | 'pool' | 'keepAlive'> {
  const [threshold = {}] = cluster.circuit_breakers?.thresholds ?? [];
  const budget = threshold.retry_budget;
  const keepAlive = cluster.upstream_connection_options?.tcp_keepalive;
  const seconds = (count: number | undefined) => (count === undefined ? undefined : count * 1000);
  return {
    maxConnections: Math.min(threshold.max_connections ?? 1024, 65_536),
    limits: {
      ...{ maxRequests: threshold.max_requests ?? 1024, maxRetries: threshold.max_retries ?? 3 },
      maxPending: threshold.max_pending_requests ?? 1024,
      ...(budget !== undefined && {
        retryBudget: {
          percent: budget.budget_percent?.value ?? 20,
          minConcurrency: budget.min_retry_concurrency ?? 3,
        },
      }),
    },
    pool: poolOf(cluster),
    ...(keepAlive !== undefined && {
      keepAlive: {
        timeMs: seconds(keepAlive.keepalive_time),
        intervalMs: seconds(keepAlive.keepalive_interval),
        probes: keepAlive.keepalive_probes,
      },
    }),
  };
}

function poolOf(cluster: WrittenCluster): PoolModel {
  const options =
    cluster.typed_extension_protocol_options?.[
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
    ];
  const { idle_timeout: idleMs, max_connection_duration: maxAgeMs } =
    options?.common_http_protocol_options ?? {};
  const maxRequests = options?.common_http_protocol_options?.max_requests_per_connection;
  const h2 =
    options?.explicit_http_config?.http2_protocol_options ??
    options?.auto_config?.http2_protocol_options ??
    cluster.http2_protocol_options;
  const maxStreams = h2?.max_concurrent_streams;
  return {
    ...(maxRequests !== undefined && { maxRequests }),
    ...(idleMs !== undefined && { idleMs }),
    ...(maxAgeMs !== undefined && { maxAgeMs }),
    ...(maxStreams !== undefined && { maxStreams: Math.min(maxStreams, 100) }),
  };
}
