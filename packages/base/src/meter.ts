/** What a room counts, without knowing who collects: the wiring gives a Prometheus registry, tests a plain one. */
export interface Meter {
  counter(spec: MetricSpec): Counter;
  gauge(spec: MetricSpec): Gauge;
  /** `buckets` are upper bounds, ascending, in the unit that the name ends with (`_seconds`). */
  histogram(spec: MetricSpec & { readonly buckets: readonly number[] }): Histogram;
}

export interface MetricSpec {
  /** Prometheus name with unit suffix, such as `countersign_issue_seconds`; counters end in `_total`. */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  add(by?: number, labels?: Labels): void;
}

export interface Gauge {
  set(value: number, labels?: Labels): void;
}

export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

export const noMeter: Meter = {
  counter: () => ({ add: () => {} }),
  gauge: () => ({ set: () => {} }),
  histogram: () => ({ observe: () => {} }),
};
