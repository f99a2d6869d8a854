const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** Milliseconds that a client gives its call by `grpc-timeout` (gRPC over HTTP/2 §Requests). */
export function deadlineMs(text: string): number | 'malformed' {
  const [, digits = '', unit = ''] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? [];
  const factor = unitMs[unit];
  return factor === undefined ? 'malformed' : Number(digits) * factor;
}
