import { CountersignError, type ErrorCode } from '@countersign/base';
import { headerValue } from './model/request-match.ts';

const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/**
 * Watches over the deadline that a gRPC client announces (`grpc-timeout`), so that a call ends in time even where its
 * upstream does not look at it.
 *
 * @returns the function that ends the watch; undefined where there is no deadline
 */
export function startDeadline(
  rawHeaders: readonly string[],
  onLate: (thrown: CountersignError) => void,
): (() => void) | undefined {
  const at = rawHeaders.findIndex(
    (name, i) => i % 2 === 0 && name.toLowerCase() === 'grpc-timeout',
  );
  if (at < 0) return undefined;
  const text = rawHeaders[at + 1] ?? '';
  const [, digits = '', unit = ''] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? [];
  const factor = unitMs[unit];
  // What is no deadline is the upstream's to refuse.
  if (factor === undefined) return undefined;
  const ms = Math.min(Number(digits) * factor, longestTimerMs);
  const timer = setTimeout(() => {
    onLate(
      new CountersignError('ERR_GATEWAY_DEADLINE', `the call's deadline of "${text}" is over`),
    );
  }, ms);
  return () => clearTimeout(timer);
}

const longestTimerMs = 2 ** 31 - 1;

/** As the gRPC specification maps HTTP statuses, but for deadlines. */
const statusByHttp: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  413: 8,
  429: 8,
  501: 12,
  502: 14,
  503: 14,
  504: 14,
};

export function grpcStatusOf(code: ErrorCode, httpStatus: number): number {
  return code === 'ERR_GATEWAY_DEADLINE' ? 4 : (statusByHttp[httpStatus] ?? 2);
}

/** What a response says of who answered it: of gRPC the status of the call, where the head has it. @param headers alternating */
export function judgedStatus(status: number, headers: readonly string[], isGrpc: boolean): number {
  if (!isGrpc || status !== 200) return status;
  return httpByStatus[headerValue(headers, 'grpc-status') ?? '0'] ?? 200;
}

/** Those that are the server's fault, as Envoy maps them. */
const httpByStatus: Readonly<Record<string, number>> = {
  '2': 500,
  '4': 504,
  '12': 501,
  '13': 500,
  '14': 503,
  '15': 500,
};
