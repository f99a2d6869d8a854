/** What an edge did with revocations, as it reports it. */
export interface ClosedConnections {
  readonly closed: number;
  readonly kept: number;
  readonly elapsedMs: number;
}

export interface LeaseHold {
  readonly instance: string;
  readonly spiffeId: string;
  readonly maxSilenceMs: number;
  /** Everything up to it has been applied by the edge. */
  readonly position: number;
  readonly closed?: ClosedConnections;
}

export interface Lease {
  readonly instance: string;
  readonly spiffeId: string;
  readonly maxSilenceMs: number;
  readonly lastSeen: number;
  /** `lastSeen + maxSilenceMs`. */
  readonly expiresAt: number;
  readonly position: number;
  /** Connections that it has closed because of revocations, since its lease began. */
  readonly closed: number;
}

export interface Acknowledgement extends ClosedConnections {
  readonly instance: string;
  readonly spiffeId: string;
  readonly position: number;
  readonly at: number;
}
