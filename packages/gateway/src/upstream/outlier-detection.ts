import type { Clock, Log } from '@countersign/base';
import type { OutlierModel } from '../model/health-model.ts';
import type { Upstream } from './upstream.ts';
import type { UpstreamMetrics } from './upstream-metrics.ts';

/** What became of one attempt: the status that was answered, or why there was no answer. */
export type Attempted = number | 'failed' | 'late';

export interface OutlierSurroundings {
  /** For logs and metrics. */
  readonly cluster: string;
  readonly members: () => readonly Upstream[];
  /** Told whenever an endpoint is ejected or taken back. */
  readonly onChange: () => void;
  readonly metrics: UpstreamMetrics;
  readonly clock: Clock;
  readonly log: Log;
}

interface Monitor {
  errors: number;
  gatewayErrors: number;
  localFailures: number;
  requests: number;
  successes: number;
  /** How many times the base it is ejected for; falls again with each interval that goes well. */
  times: number;
  ejectedAt: number;
}

/** Envoy's words. */
type Reason = 'consecutive_5xx' | 'consecutive_gateway_failure' | LocalReason | 'success_rate';
type LocalReason = 'consecutive_local_origin_failure';

/**
 * Ejects endpoints that answer worse than they should, by what becomes of the requests to them, and takes them back after
 * a time that grows with each ejection: Envoy's outlier detection.
 */
export class OutlierDetection {
  readonly #model: OutlierModel;
  readonly #around: OutlierSurroundings;
  readonly #monitors = new WeakMap<Upstream, Monitor>();

  constructor(model: OutlierModel, around: OutlierSurroundings) {
    this.#model = model;
    this.#around = around;
  }

  /** @param wasSent whether there was a connection for it, which ends a row of failures to connect */
  report(upstream: Upstream, attempted: Attempted, wasSent: boolean): void {
    const monitor = this.#monitorOf(upstream);
    const { splitsLocalErrors, consecutiveLocal } = this.#model;
    if (typeof attempted === 'number') {
      monitor.localFailures = 0;
      this.#answered(upstream, monitor, attempted);
    } else if (!splitsLocalErrors) {
      this.#answered(upstream, monitor, attempted === 'late' ? 504 : 503);
    } else {
      monitor.localFailures = wasSent ? 1 : monitor.localFailures + 1;
      if (monitor.localFailures === consecutiveLocal) {
        this.#eject(upstream, monitor, 'consecutive_local_origin_failure');
      }
    }
  }

  /** Takes one back before its time, since it was asked how it is. */
  forgive(upstream: Upstream): void {
    if (upstream.isEjected) this.#restore(upstream, this.#monitorOf(upstream));
  }

  /** Takes back those whose time is over, and looks at rates, until it is stopped. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#around;
    while (!signal.aborted) {
      await clock.sleep(this.#model.intervalMs, { signal, ref: false }).catch(() => {});
      if (signal.aborted) return;
      for (const upstream of this.#around.members()) this.#takeBack(upstream);
      this.#judgeRates();
    }
  }

  #answered(upstream: Upstream, monitor: Monitor, status: number): void {
    monitor.requests += 1;
    if (status < 500) {
      monitor.successes += 1;
      monitor.errors = 0;
      monitor.gatewayErrors = 0;
      return;
    }
    const { consecutive5xx, consecutiveGateway } = this.#model;
    const isOfGateway = status >= 502 && status <= 504;
    monitor.gatewayErrors = isOfGateway ? monitor.gatewayErrors + 1 : 0;
    monitor.errors += 1;
    if (isOfGateway && monitor.gatewayErrors === consecutiveGateway) {
      this.#eject(upstream, monitor, 'consecutive_gateway_failure');
      monitor.gatewayErrors = 0;
    }
    if (monitor.errors === consecutive5xx) {
      this.#eject(upstream, monitor, 'consecutive_5xx');
      monitor.errors = 0;
    }
  }

  #eject(upstream: Upstream, monitor: Monitor, reason: Reason): void {
    const { cluster, members, metrics, clock, log, onChange } = this.#around;
    if (upstream.isEjected) return;
    const all = members();
    const ejected = all.filter((each) => each.isEjected).length;
    const { maxEjectionPercent, alwaysEjectsOne } = this.#model;
    const wouldBe = (100 * (ejected + 1)) / all.length;
    if (wouldBe > maxEjectionPercent && !(alwaysEjectsOne && ejected === 0)) {
      metrics.ejection(cluster, 'overflow');
      const line = { cluster, endpoint: upstream.key, reason, maxEjectionPercent };
      return void log.warn(line, 'endpoint is not ejected, as many as may be are');
    }
    upstream.isEjected = true;
    upstream.ejections += 1;
    const { baseEjectionMs, maxEjectionMs } = this.#model;
    monitor.ejectedAt = clock.monotonic();
    if (monitor.times * baseEjectionMs < maxEjectionMs + baseEjectionMs) monitor.times += 1;
    metrics.ejection(cluster, reason);
    const ms = this.#lengthOf(monitor);
    log.warn({ cluster, endpoint: upstream.key, reason, ms }, 'endpoint ejected');
    onChange();
  }

  #takeBack(upstream: Upstream): void {
    const monitor = this.#monitorOf(upstream);
    if (!upstream.isEjected) {
      monitor.times = Math.max(0, monitor.times - 1);
      return;
    }
    const since = this.#around.clock.monotonic() - monitor.ejectedAt;
    if (since >= this.#lengthOf(monitor)) this.#restore(upstream, monitor);
  }

  #restore(upstream: Upstream, monitor: Monitor): void {
    const { cluster, log, onChange } = this.#around;
    upstream.isEjected = false;
    Object.assign(monitor, { errors: 0, gatewayErrors: 0, localFailures: 0 });
    log.info({ cluster, endpoint: upstream.key }, 'endpoint taken back');
    onChange();
  }

  #lengthOf({ times }: Monitor): number {
    const { baseEjectionMs, maxEjectionMs } = this.#model;
    return Math.min(baseEjectionMs * times, maxEjectionMs);
  }

  /** Those that succeed far less often than the others do, where there are enough of both to tell. */
  #judgeRates(): void {
    const { successRate } = this.#model;
    const monitored = this.#around.members().map((upstream) => {
      const monitor = this.#monitorOf(upstream);
      const { requests, successes } = monitor;
      Object.assign(monitor, { requests: 0, successes: 0 });
      return { upstream, monitor, requests, rate: (100 * successes) / Math.max(1, requests) };
    });
    if (successRate === undefined) return;
    const busy = monitored.filter(({ requests }) => requests >= successRate.requestVolume);
    if (busy.length < successRate.minHosts) return;
    const mean = busy.reduce((sum, { rate }) => sum + rate, 0) / busy.length;
    const variance = busy.reduce((sum, { rate }) => sum + (rate - mean) ** 2, 0) / busy.length;
    const least = mean - successRate.deviations * Math.sqrt(variance);
    for (const { upstream, monitor, rate } of busy) {
      if (rate < least) this.#eject(upstream, monitor, 'success_rate');
    }
  }

  #monitorOf(upstream: Upstream): Monitor {
    const known = this.#monitors.get(upstream);
    if (known !== undefined) return known;
    const monitor = {
      ...{ errors: 0, gatewayErrors: 0, localFailures: 0, requests: 0, successes: 0 },
      ...{ times: 0, ejectedAt: 0 },
    };
    this.#monitors.set(upstream, monitor);
    return monitor;
  }
}
