import type { Meter } from '@countersign/base';

export interface UpstreamMetrics {
  /** @param reason Envoy's word for it; `overflow`: it would have been ejected, and too many are */
  ejection(cluster: string, reason: string): void;
  /** How many endpoints take no requests now, ejected or failing their checks. */
  unfit(cluster: string, count: number): void;
  /** What was refused since too much was under way. @param limit requests, pending, retries, connections */
  overflow(cluster: string, limit: string): void;
  /** @param result good, bad (an answer), silent (none) */
  check(cluster: string, result: string): void;
}

export function upstreamMetrics(meter: Meter): UpstreamMetrics {
  const ejections = meter.counter({
    name: 'countersign_upstream_ejections_total',
    help: 'Endpoints taken out by how they answered, by the reason; overflow: too many were out already.',
    labels: ['cluster', 'reason'],
  });
  const unfit = meter.gauge({
    name: 'countersign_upstream_unfit_endpoints',
    help: 'Endpoints that take no requests now: ejected, or failing their health checks.',
    labels: ['cluster'],
  });
  const checks = meter.counter({
    name: 'countersign_upstream_health_checks_total',
    help: 'Health checks of endpoints by their result.',
    labels: ['cluster', 'result'],
  });
  const overflows = meter.counter({
    name: 'countersign_upstream_overflow_total',
    help: 'Requests, retries and connections refused by a limit of their cluster.',
    labels: ['cluster', 'limit'],
  });
  return {
    overflow: (cluster, limit) => overflows.add(1, { cluster, limit }),
    check: (cluster, result) => checks.add(1, { cluster, result }),
    ejection: (cluster, reason) => ejections.add(1, { cluster, reason }),
    unfit: (cluster, count) => unfit.set(count, { cluster }),
  };
}
