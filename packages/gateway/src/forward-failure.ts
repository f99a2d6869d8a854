import {
  CountersignError,
  type Denial,
  denial,
  type ErrorCode,
  messageOf,
} from '@countersign/base';

/** Codes of a connection that was closed before the request was taken up, or as it was. */
const closed: ReadonlySet<string> = new Set([
  'UND_ERR_SOCKET',
  'ECONNRESET',
  'EPIPE',
  'ERR_HTTP2_GOAWAY_SESSION',
  'ERR_HTTP2_INVALID_SESSION',
  'ERR_HTTP2_SESSION_ERROR',
  'ERR_HTTP2_STREAM_REFUSED',
]);

/** What undici, node:http2 and the dialer throw, as ours. What is not here means that the upstream broke off. */
const failures: Readonly<Record<string, ErrorCode>> = {
  ERR_DIAL_UNREACHABLE: 'ERR_UPSTREAM_UNREACHABLE',
  ERR_DIAL_ABORTED: 'ERR_UPSTREAM_UNREACHABLE',
  ERR_DIAL_TIMEOUT: 'ERR_UPSTREAM_TIMEOUT',
  UND_ERR_HEADERS_TIMEOUT: 'ERR_UPSTREAM_TIMEOUT',
  UND_ERR_BODY_TIMEOUT: 'ERR_UPSTREAM_TIMEOUT',
  UND_ERR_CONNECT_TIMEOUT: 'ERR_UPSTREAM_TIMEOUT',
  ERR_UPSTREAM_TIMEOUT: 'ERR_UPSTREAM_TIMEOUT',
  ERR_UPSTREAM_PROTOCOL: 'ERR_UPSTREAM_PROTOCOL',
  ERR_UPSTREAM_NO_ENDPOINT: 'ERR_UPSTREAM_NO_ENDPOINT',
  ERR_UPSTREAM_OVERLOADED: 'ERR_UPSTREAM_OVERLOADED',
  ERR_GATEWAY_DEADLINE: 'ERR_GATEWAY_DEADLINE',
  ERR_GATEWAY_BODY_TOO_LARGE: 'ERR_GATEWAY_BODY_TOO_LARGE',
  ERR_SVID_NONE: 'ERR_INTERNAL',
  ERR_TLS_CONTEXT: 'ERR_INTERNAL',
  ERR_TLS_HANDSHAKE: 'ERR_UPSTREAM_BROKE',
  ERR_TLS_ABORTED: 'ERR_UPSTREAM_BROKE',
};

export function failureOf(thrown: Error): Denial {
  const reason = codeOf(thrown);
  const known = failures[reason];
  // Whatever else the dialer refused, it refused who answered.
  const other = thrown instanceof CountersignError ? 'ERR_UPSTREAM_IDENTITY' : 'ERR_UPSTREAM_BROKE';
  const fields = thrown instanceof CountersignError ? thrown.fields : {};
  return denial(known ?? other, messageOf(thrown), { ...fields, reason });
}

export function isClosedByUpstream(thrown: Error): boolean {
  return closed.has(codeOf(thrown));
}

export function codeOf(thrown: Error & { readonly code?: unknown }): string {
  return typeof thrown.code === 'string' ? thrown.code : thrown.name;
}
