import type { Meter } from '@countersign/base';

export interface LookupMetrics {
  /** @param result `ok`, or the code of what it failed with */
  lookedUp(result: string, seconds: number): void;
  kept(counts: Readonly<Record<'fresh' | 'stale' | 'none', number>>): void;
}

export function lookupMetrics(meter: Meter, method: string): LookupMetrics {
  const lookups = meter.counter({
    name: 'countersign_revocation_lookups_total',
    help: 'Look-ups of revocation lists and OCSP answers by what became of them.',
    labels: ['method', 'result'],
  });
  const seconds = meter.histogram({
    name: 'countersign_revocation_lookup_seconds',
    help: 'Time of a look-up of a revocation list or an OCSP answer, the wait for its turn included.',
    labels: ['method'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  });
  const kept = meter.gauge({
    name: 'countersign_revocation_answers',
    help: 'Revocation lists and OCSP answers in use: fresh, stale but allowed, or none.',
    labels: ['method', 'state'],
  });
  return {
    lookedUp(result, took) {
      lookups.add(1, { method, result });
      seconds.observe(took, { method });
    },
    kept(counts) {
      for (const [state, count] of Object.entries(counts)) kept.set(count, { method, state });
    },
  };
}
