import { CountersignError } from '@countersign/base';
import { codeOf } from './forward-failure.ts';
import { headerValue } from './model/request-match.ts';
import type { RetryCondition, RetryModel } from './model/route-model.ts';

/** gRPC statuses of responses that are their head alone. */
const grpcConditions: Readonly<Record<string, RetryCondition>> = {
  '1': 'cancelled',
  '4': 'deadline-exceeded',
  '8': 'resource-exhausted',
  '13': 'internal',
  '14': 'unavailable',
};

/** Whether a response is one after which the request is sent again. @param headers names and values alternating */
export function isRetriedAfter(
  { on, statuses }: RetryModel,
  status: number,
  headers: readonly string[],
): boolean {
  if (status >= 500 && on.includes('5xx')) return true;
  if (status >= 502 && status <= 504 && on.includes('gateway-error')) return true;
  if (status === 409 && on.includes('retriable-4xx')) return true;
  if (on.includes('retriable-status-codes') && statuses.includes(status)) return true;
  if (on.includes('envoy-ratelimited') && headerValue(headers, 'x-envoy-ratelimited')) return true;
  const condition = grpcConditions[headerValue(headers, 'grpc-status') ?? ''];
  return condition !== undefined && on.includes(condition);
}

/** Whether no response at all is a reason to send the request again. @param wasSent whether any of it was */
export function isRetriedWithout({ on }: RetryModel, thrown: Error, wasSent: boolean): boolean {
  // What the cluster's limits refuse would be refused again.
  if (codeOf(thrown) === 'ERR_UPSTREAM_OVERLOADED') return false;
  if (!wasSent && on.includes('reset-before-request')) return !isOurOwn(thrown);
  if (on.includes('5xx') || on.includes('gateway-error') || on.includes('reset')) {
    return !isOurOwn(thrown);
  }
  const code = codeOf(thrown);
  if (code === 'ERR_HTTP2_STREAM_REFUSED') return on.includes('refused-stream');
  return on.includes('connect-failure') && connectFailures.has(code);
}

const connectFailures: ReadonlySet<string> = new Set([
  'ERR_DIAL_UNREACHABLE',
  'ERR_DIAL_TIMEOUT',
  'ERR_TLS_HANDSHAKE',
  'ERR_TLS_ABORTED',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** What another attempt would fail of as well. */
export function isOurOwn(thrown: Error): boolean {
  return thrown instanceof CountersignError && ours.has(thrown.code);
}

const ours: ReadonlySet<string> = new Set([
  'ERR_UPSTREAM_OVERLOADED',
  'ERR_GATEWAY_BODY_TOO_LARGE',
  'ERR_GATEWAY_DEADLINE',
  'ERR_SVID_NONE',
  'ERR_TLS_CONTEXT',
]);

/** How long to wait before a further attempt: at random up to a bound that doubles. @param attempt from 1 */
export function backoffMs(
  { backoffMs: base, maxBackoffMs }: RetryModel,
  attempt: number,
  random: () => number,
): number {
  return Math.floor(random() * Math.min(maxBackoffMs, base * 2 ** (attempt - 1)));
}
