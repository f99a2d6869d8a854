import { CountersignError, type ErrorCode, messageOf } from '@countersign/base';

/** Why a subgraph gave no answer, for the operator. */
export interface SubgraphFailure {
  readonly code: ErrorCode;
  /** A word for logs and metrics. */
  readonly reason: FailureReason;
  readonly detail: string;
  readonly fields: Readonly<Record<string, unknown>>;
  /** Whether the connection never carried the request, so that it may be sent again. */
  readonly isUnsent: boolean;
}

export type FailureReason =
  | 'wrong-id'
  | 'wrong-host'
  | 'wrong-trust-domain'
  | 'expired'
  | 'not-yet-valid'
  | 'revoked'
  | 'revocation-unknown'
  | 'self-signed'
  | 'untrusted'
  | 'plaintext'
  | 'no-certificate'
  | 'refused-us'
  | 'tls'
  | 'no-identity'
  | 'unreachable'
  | 'timeout'
  | 'broke-off'
  | 'status'
  | 'too-large'
  | 'response';

/** What the dialer says of who answered, as a reason. */
const identityReasons: Readonly<Partial<Record<ErrorCode, FailureReason>>> = {
  ERR_PEER_UNEXPECTED: 'wrong-id',
  ERR_PEER_TRUST_DOMAIN: 'wrong-trust-domain',
  ERR_PEER_EXPIRED: 'expired',
  ERR_PEER_NOT_YET_VALID: 'not-yet-valid',
  ERR_PEER_REVOKED: 'revoked',
  ERR_REVOCATION_UNKNOWN: 'revocation-unknown',
  ERR_SERVER_CERTIFICATE_MISSING: 'no-certificate',
  ERR_SUBGRAPH_IDENTITY: 'refused-us',
};

const transportReasons: Readonly<Record<string, readonly [ErrorCode, FailureReason]>> = {
  ERR_SVID_NONE: ['ERR_SUBGRAPH_IDENTITY', 'no-identity'],
  ERR_DIAL_UNREACHABLE: ['ERR_SUBGRAPH_UNREACHABLE', 'unreachable'],
  ERR_DIAL_ABORTED: ['ERR_SUBGRAPH_UNREACHABLE', 'unreachable'],
  ECONNREFUSED: ['ERR_SUBGRAPH_UNREACHABLE', 'unreachable'],
  ENOTFOUND: ['ERR_SUBGRAPH_UNREACHABLE', 'unreachable'],
  ERR_DIAL_TIMEOUT: ['ERR_SUBGRAPH_TIMEOUT', 'timeout'],
  UND_ERR_CONNECT_TIMEOUT: ['ERR_SUBGRAPH_TIMEOUT', 'timeout'],
  UND_ERR_HEADERS_TIMEOUT: ['ERR_SUBGRAPH_TIMEOUT', 'timeout'],
  UND_ERR_BODY_TIMEOUT: ['ERR_SUBGRAPH_TIMEOUT', 'timeout'],
  ERR_SUBGRAPH_TIMEOUT: ['ERR_SUBGRAPH_TIMEOUT', 'timeout'],
  ERR_SUBGRAPH_RESPONSE: ['ERR_SUBGRAPH_RESPONSE', 'response'],
  ERR_SUBGRAPH_STATUS: ['ERR_SUBGRAPH_STATUS', 'status'],
};

/** What undici, the dialer or a response's reader threw, as one failure with one reason. */
export function failureOf(thrown: unknown): SubgraphFailure {
  const code = codeOf(thrown);
  const known = transportReasons[code];
  const detail = messageOf(thrown);
  const fields = thrown instanceof CountersignError ? thrown.fields : {};
  if (known !== undefined) {
    const isUnsent = known[1] === 'unreachable';
    const reason = known[1] === 'response' && 'limit' in fields ? 'too-large' : known[1];
    return { code: known[0], reason, detail, fields, isUnsent };
  }
  if (!(thrown instanceof CountersignError)) {
    return { code: 'ERR_SUBGRAPH_RESPONSE', reason: 'broke-off', detail, fields, isUnsent: false };
  }
  const reason = identityReason(thrown);
  return { code: 'ERR_SUBGRAPH_IDENTITY', reason, detail, fields, isUnsent: true };
}

/** That the other side speaks no TLS, or that we have nothing to show: whoever answered did not fail to prove itself. */
const withoutMtls: ReadonlySet<FailureReason> = new Set(['plaintext', 'no-identity']);

/** Whether no mTLS was to be had: that alone may fall back to plaintext, never that somebody else answered. */
export function isWithoutMtls({ reason }: SubgraphFailure): boolean {
  return withoutMtls.has(reason);
}

function identityReason(thrown: CountersignError): FailureReason {
  const { code, fields, message } = thrown;
  if (fields.selfSigned === true) return 'self-signed';
  if (code === 'ERR_PEER_UNEXPECTED' && 'reason' in fields) return 'wrong-host';
  const known = identityReasons[code];
  if (known !== undefined) return known;
  if (code === 'ERR_PEER_UNTRUSTED' || code.startsWith('ERR_PATH_')) {
    return /self-signed|self-issued/.test(message) ? 'self-signed' : 'untrusted';
  }
  if (code === 'ERR_TLS_HANDSHAKE') {
    const cause = thrown.cause instanceof Error ? codeOf(thrown.cause) : '';
    // OpenSSL's words for an answer that is no TLS record: HTTP most often.
    if (/WRONG_VERSION_NUMBER|PACKET_LENGTH|HTTP_REQUEST|NOT_TLS/i.test(cause + message))
      return 'plaintext';
    // An alert about what is spoken, not about us.
    if (/NO_APPLICATION_PROTOCOL/i.test(cause + message)) return 'tls';
    return /ALERT/i.test(cause + message) ? 'refused-us' : 'tls';
  }
  return 'tls';
}

function codeOf(thrown: unknown): string {
  return String((thrown as { code?: unknown } | undefined)?.code ?? '');
}
