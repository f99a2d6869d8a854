import type { Meter } from '@countersign/base';
import { BoundedLabel } from './telemetry/bounded-label.ts';

export interface CountedOperation {
  readonly kind: string;
  /** Undefined: it has none, or it was refused before it was found. */
  readonly name: string | undefined;
  /** SPIFFE ID; undefined: a stranger. */
  readonly caller: string | undefined;
  /** `none`, `errors`, or the code of its refusal. */
  readonly result: string;
  /** Undefined of streams: how long one is open says nothing about the router. */
  readonly seconds: number | undefined;
}

export interface RouterMetrics {
  operation(operation: CountedOperation): void;
  subscriptions(open: number): void;
}

export interface MetricLimits {
  readonly max_operations: number;
  readonly max_callers: number;
}

const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export function routerMetrics(meter: Meter, limits: MetricLimits): RouterMetrics {
  const seconds = meter.histogram({
    name: 'countersign_operation_seconds',
    help: 'Time from an operation to its answer.',
    labels: ['kind'],
    buckets,
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
  const named = meter.histogram({
    name: 'countersign_named_operation_seconds',
    help: 'Time from an operation to its answer, by its name.',
    labels: ['operation', 'kind'],
    buckets,
  });
  const namedResults = meter.counter({
    name: 'countersign_named_operations_total',
    help: 'Operations by their name and by what became of them.',
    labels: ['operation', 'kind', 'result'],
  });
  const byCaller = meter.counter({
    name: 'countersign_caller_operations_total',
    help: 'Operations by who asked, and by what became of them.',
    labels: ['caller', 'result'],
  });
  const names = new BoundedLabel(limits.max_operations);
  const callers = new BoundedLabel(limits.max_callers);
  return {
    operation({ kind, name, caller, result, seconds: took }) {
      results.add(1, { kind, result });
      if (took !== undefined) seconds.observe(took, { kind });
      if (limits.max_callers > 0) {
        byCaller.add(1, { caller: caller === undefined ? 'stranger' : callers.of(caller), result });
      }
      if (limits.max_operations === 0) return;
      const operation = name === undefined ? 'unnamed' : names.of(name);
      namedResults.add(1, { operation, kind, result });
      if (took !== undefined) named.observe(took, { operation, kind });
    },
    subscriptions: (count) => open.set(count),
  };
}
