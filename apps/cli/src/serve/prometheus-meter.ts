import type { Labels, Meter, MetricSpec } from '@countersign/base';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** A {@link Meter} whose figures can be scraped. */
export interface PrometheusMeter extends Meter {
  readonly contentType: string;
  /** The exposition text of everything counted so far. */
  metricsText(): Promise<string>;
}

/**
 * Counts into a registry of its own. The same name asked for twice is the same metric, so that rooms need not know
 * of each other; with other labels it is a defect, and prom-client throws at the first use of them.
 *
 * @param options.processMetrics the process's own figures (CPU, memory, event loop) as well; default true
 */
export function createPrometheusMeter(
  options: { readonly processMetrics?: boolean } = {},
): PrometheusMeter {
  const registry = new Registry();
  if (options.processMetrics ?? true) collectDefaultMetrics({ register: registry });

  const known = <M>(name: string, create: () => M): M =>
    (registry.getSingleMetric(name) as M | undefined) ?? create();
  const configuration = ({ name, help, labels = [] }: MetricSpec) => ({
    name,
    help,
    labelNames: [...labels],
    registers: [registry],
  });

  return {
    contentType: registry.contentType,
    metricsText: () => registry.metrics(),
    counter(spec) {
      const counter = known(spec.name, () => new Counter<string>(configuration(spec)));
      return { add: (by = 1, labels: Labels = {}) => counter.inc(labels, by) };
    },
    gauge(spec) {
      const gauge = known(spec.name, () => new Gauge<string>(configuration(spec)));
      return { set: (value, labels: Labels = {}) => gauge.set(labels, value) };
    },
    histogram(spec) {
      const histogram = known(
        spec.name,
        () => new Histogram<string>({ ...configuration(spec), buckets: [...spec.buckets] }),
      );
      return { observe: (value, labels: Labels = {}) => histogram.observe(labels, value) };
    },
  };
}
