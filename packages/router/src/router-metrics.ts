import type { Meter } from '@countersign/base';

export interface RouterMetrics {
  operation(kind: string, result: string, seconds: number): void;
  subscriptions(open: number): void;
}

export function routerMetrics(meter: Meter): RouterMetrics {
  const seconds = meter.histogram({
    name: 'countersign_operation_seconds',
    help: 'Time from an operation to its answer.',
    labels: ['kind'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  });
  const results = meter.counter({
    name: 'countersign_operations_total',
    help: 'Operations by kind and by what became of them: none, errors, or the code of their refusal.',
    labels: ['kind', 'result'],
  });
  const open = meter.gauge({
    name: 'countersign_subscriptions_open',
    help: 'Subscriptions that are open now.',
  });
  return {
    operation(kind, result, took) {
      seconds.observe(took, { kind });
      results.add(1, { kind, result });
    },
    subscriptions: (count) => open.set(count),
  };
}
