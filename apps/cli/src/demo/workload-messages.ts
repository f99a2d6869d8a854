/** What the demo asks of a workload's process, and what it tells, over the channel between them. */
export type WorkloadOrder =
  | {
      readonly do: 'start';
      readonly name: string;
      readonly authorityUrl: string;
      /** One-time; it goes over the channel, and nowhere else. */
      readonly token: string;
      readonly directory: string;
      /** Serve `/NAME` as well as call others. */
      readonly serves: boolean;
      /** Whom the served side admits. */
      readonly admits: string;
    }
  | { readonly do: 'get'; readonly url: string; readonly expect: string }
  | {
      readonly do: 'load';
      readonly url: string;
      readonly expect: string;
      readonly ratePerSecond: number;
    }
  | { readonly do: 'stop-load' }
  | { readonly do: 'stream'; readonly url: string; readonly expect: string }
  | { readonly do: 'stream-state' }
  | { readonly do: 'renew' };

/** One answer an order, with the order's number. */
export interface WorkloadAnswer {
  readonly number: number;
  readonly ok: boolean;
  readonly value: unknown;
}

export interface NumberedOrder {
  readonly number: number;
  readonly order: WorkloadOrder;
}

export interface StartedValue {
  readonly serial: string;
  readonly notAfter: number;
  /** Where it serves; absent where it does not. */
  readonly url?: string;
}

export interface GetValue {
  readonly status: number;
  readonly body: string;
}

export interface LoadValue {
  readonly sent: number;
  readonly failed: number;
  readonly reasons: readonly string[];
}

export interface StreamValue {
  readonly lines: number;
  readonly open: boolean;
  /** Why it ended, and when (Unix milliseconds). */
  readonly ended?: { readonly reason: string; readonly at: number };
}

export interface RenewValue {
  readonly before: string;
  readonly after: string;
}
