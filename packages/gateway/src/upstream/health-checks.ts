import type { Clock, Log } from '@countersign/base';
import type { HealthCheckModel } from '../model/health-model.ts';
import { askHealth, type HealthAnswer } from './ask-health.ts';
import type { Upstream } from './upstream.ts';
import type { UpstreamMetrics } from './upstream-metrics.ts';

export interface HealthSurroundings {
  /** For logs and metrics. */
  readonly cluster: string;
  /** Told whenever an endpoint passes its checks again, or no longer does. */
  readonly onChange: () => void;
  readonly metrics: UpstreamMetrics;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Asks one endpoint again and again until it is stopped. Until its first answer it takes requests. */
export async function checkHealth(
  upstream: Upstream,
  model: HealthCheckModel,
  around: HealthSurroundings,
  signal: AbortSignal,
): Promise<void> {
  const { clock, random } = around;
  const pause = (ms: number) => clock.sleep(ms, { signal, ref: false }).catch(() => {});
  const state = { isFirst: true, successes: 0, failures: 0 };
  await pause(random() * model.initialJitterMs);
  while (!signal.aborted) {
    const answer = await askInTime(upstream, model, clock, signal);
    if (signal.aborted) return;
    take(answer, upstream, { state, model, around });
    await pause(model.intervalMs + random() * model.jitterMs);
  }
}

async function askInTime(
  upstream: Upstream,
  { ask, timeoutMs }: HealthCheckModel,
  clock: Clock,
  signal: AbortSignal,
): Promise<HealthAnswer> {
  const over = new AbortController();
  const late = new AbortController();
  const stopped = AbortSignal.any([signal, over.signal]);
  clock.sleep(timeoutMs, { signal: stopped, ref: false }).then(
    () => late.abort(),
    () => {},
  );
  const answer = await askHealth(upstream, ask, AbortSignal.any([signal, late.signal]));
  over.abort();
  return answer;
}

interface Taking {
  readonly state: { isFirst: boolean; successes: number; failures: number };
  readonly model: HealthCheckModel;
  readonly around: HealthSurroundings;
}

function take(answer: HealthAnswer, upstream: Upstream, { state, model, around }: Taking): void {
  const { cluster, metrics, log, onChange } = around;
  const { isFirst } = state;
  const isGood = answer.kind === 'good';
  state.isFirst = false;
  state.successes = isGood ? state.successes + 1 : 0;
  state.failures = isGood ? 0 : state.failures + 1;
  metrics.check(cluster, answer.kind);
  const line = { cluster, endpoint: upstream.key };
  if (isGood) {
    if (!upstream.failsChecks || state.successes < model.healthyThreshold) return;
    upstream.failsChecks = false;
    log.info(line, 'endpoint passes its health checks again');
    onChange();
    return;
  }
  const atOnce = isFirst || (answer.kind === 'bad' && model.failsAtOnce);
  if (upstream.failsChecks || (!atOnce && state.failures < model.unhealthyThreshold)) return;
  upstream.failsChecks = true;
  log.warn({ ...line, reason: answer.reason }, 'endpoint fails its health checks');
  onChange();
}
