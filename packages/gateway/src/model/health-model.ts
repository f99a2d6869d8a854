/** When an endpoint is taken out by how it answers; Envoy's `outlier_detection`. */
export interface OutlierModel {
  /** How often those that are out are looked at. */
  readonly intervalMs: number;
  /** The first time it is out so long, and longer by as much each further time. */
  readonly baseEjectionMs: number;
  readonly maxEjectionMs: number;
  /** Of all endpoints. */
  readonly maxEjectionPercent: number;
  /** One may be out whatever share of all it is. */
  readonly alwaysEjectsOne: boolean;
  /** So many of status 500 and above, one after the other; 0: however many. */
  readonly consecutive5xx: number;
  /** So many of 502, 503 and 504; 0: however many. */
  readonly consecutiveGateway: number;
  /** Whether requests without an answer are counted by themselves, instead of as 503 and 504. */
  readonly splitsLocalErrors: boolean;
  /** So many without an answer, where these are counted by themselves; 0: however many. */
  readonly consecutiveLocal: number;
  /** Those whose share of successes is so many standard deviations below the mean of all; absent: not looked at. */
  readonly successRate?: {
    readonly minHosts: number;
    /** Within an interval. */
    readonly requestVolume: number;
    readonly deviations: number;
  };
}

/** Asks an endpoint how it is; Envoy's `health_checks`. */
export interface HealthCheckModel {
  readonly ask: HealthQuestion;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Up to so long is added to each interval, at random. */
  readonly jitterMs: number;
  /** Up to so long before the first. */
  readonly initialJitterMs: number;
  /** So many failures, one after the other, take an endpoint out; the very first one does at once. */
  readonly unhealthyThreshold: number;
  /** So many successes take it back; the very first one does at once. */
  readonly healthyThreshold: number;
  /** Whether one answer that is not good takes it out, so that only no answer at all is counted. */
  readonly failsAtOnce: boolean;
}

export type HealthQuestion =
  | {
      readonly kind: 'http';
      readonly path: string;
      /** Absent: the name of the endpoint. */
      readonly host?: string;
      /** Ranges of good statuses, both ends included. */
      readonly statuses: readonly (readonly [from: number, to: number])[];
    }
  /** A connection alone, where there is nothing to send or to receive. */
  | {
      readonly kind: 'tcp';
      /** Bytes in hexadecimal. */
      readonly send?: string;
      /** Each has to come, in this order. */
      readonly receive: readonly string[];
    }
  /** `grpc.health.v1`. */
  | { readonly kind: 'grpc'; readonly service: string; readonly authority?: string };
