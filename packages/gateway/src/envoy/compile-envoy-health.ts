import type { ClusterModel } from '../model/cluster-model.ts';
import type { HealthCheckModel, HealthQuestion, OutlierModel } from '../model/health-model.ts';
import type {
  WrittenCluster,
  WrittenHealthCheck,
  WrittenOutliers,
  WrittenPayload,
} from './envoy-cluster-schema.ts';

export function envoyHealthOf({
  outlier_detection: outliers,
  health_checks: [check] = [],
  common_lb_config: common,
}: WrittenCluster): Pick<ClusterModel, 'outliers' | 'healthCheck' | 'panicPercent'> {
  const panicPercent = common?.healthy_panic_threshold?.value;
  return {
    ...(outliers !== undefined && { outliers: outliersOf(outliers) }),
    ...(check !== undefined && { healthCheck: healthCheckOf(check) }),
    ...(panicPercent !== undefined && { panicPercent }),
  };
}

function outliersOf(written: WrittenOutliers): OutlierModel {
  const enforced = (count = 5, enforcing = 100) => (enforcing === 0 ? 0 : count);
  const { base_ejection_time: base, max_ejection_time: most } = written;
  return {
    ...{ intervalMs: written.interval, baseEjectionMs: base, maxEjectionMs: Math.max(most, base) },
    maxEjectionPercent: written.max_ejection_percent,
    alwaysEjectsOne: written.always_eject_one_host,
    consecutive5xx: enforced(written.consecutive_5xx, written.enforcing_consecutive_5xx),
    // Watched, and by itself of no effect.
    consecutiveGateway: enforced(
      written.consecutive_gateway_failure,
      written.enforcing_consecutive_gateway_failure ?? 0,
    ),
    splitsLocalErrors: written.split_external_local_origin_errors ?? false,
    consecutiveLocal: enforced(
      written.consecutive_local_origin_failure,
      written.enforcing_consecutive_local_origin_failure,
    ),
    ...(written.enforcing_success_rate !== 0 && {
      successRate: {
        minHosts: written.success_rate_minimum_hosts,
        requestVolume: written.success_rate_request_volume,
        deviations: written.success_rate_stdev_factor / 1000,
      },
    }),
  };
}

function healthCheckOf(written: WrittenHealthCheck): HealthCheckModel {
  return {
    ask: questionOf(written),
    ...{ intervalMs: written.interval, timeoutMs: written.timeout },
    ...{ jitterMs: written.interval_jitter, initialJitterMs: written.initial_jitter },
    ...{ unhealthyThreshold: written.unhealthy_threshold },
    ...{ healthyThreshold: written.healthy_threshold, failsAtOnce: true },
  };
}

function questionOf(written: WrittenHealthCheck): HealthQuestion {
  const { http_health_check: http, tcp_health_check: tcp, grpc_health_check: grpc } = written;
  if (http !== undefined) {
    const { path, host, expected_statuses: statuses = [{ start: 200, end: 201 }] } = http;
    return {
      ...{ kind: 'http', path, ...(host !== undefined && { host }) },
      // The end of a range is not a part of it.
      statuses: statuses.map(({ start, end }) => [start, end - 1] as const),
    };
  }
  if (grpc !== undefined) {
    const { service_name: service, authority } = grpc;
    return { kind: 'grpc', service, ...(authority !== undefined && { authority }) };
  }
  return {
    ...{ kind: 'tcp', ...(tcp?.send !== undefined && { send: hexOf(tcp.send) }) },
    receive: (tcp?.receive ?? []).map(hexOf),
  };
}

function hexOf({ text, binary = '' }: WrittenPayload): string {
  return text?.toLowerCase() ?? Buffer.from(binary, 'base64').toString('hex');
}
