import type { ServerResponse } from 'node:http';
import { CountersignError, type Denial, type ErrorCode, type Log } from '@countersign/base';
import {
  type Audience,
  formatProblem,
  problemCauseOf,
  problemContentType,
  problemFrom,
  statusOfCode,
} from '@countersign/wire';
import { type Caller, nameOf } from './api-call.ts';

/** HTTP status of our own codes; what is not here is `wire`'s to say. */
const statuses: Readonly<Partial<Record<ErrorCode, number>>> = {
  ERR_API_CERTIFICATE_NEEDED: 401,
  ERR_API_CERTIFICATE_REVOKED: 403,
  ERR_API_CERTIFICATE_UNKNOWN: 403,
  ERR_API_FORBIDDEN: 403,
  ERR_API_GUESSES: 429,
  ERR_API_BUSY: 503,
  ERR_API_FEED_LIMIT: 503,
  ERR_API_FEED_CURSOR: 409,
  ERR_API_CLOSING: 503,
  ERR_LEDGER_CERTIFICATE_UNKNOWN: 404,
  ERR_LEDGER_ORDER: 422,
  ERR_LEDGER_BLOCKED: 403,
  ERR_LEDGER_REVOKED: 403,
  ERR_LEDGER_NEEDS_TOKEN: 403,
  ERR_PROOF_KEY: 422,
  ERR_PROOF_MISSING: 403,
  ERR_PROOF_OTHER: 403,
  ERR_PROOF_SIGNATURE: 403,
  ERR_LEDGER_LEASE: 409,
  ERR_LEDGER_NOT_HELD: 409,
  ERR_LEDGER_FAILED: 503,
  ERR_LEDGER_UNAVAILABLE: 503,
  ERR_LEDGER_CLOSED: 503,
  ERR_LOG_MISSING: 404,
  ERR_LOG_PENDING: 503,
  ERR_LOG_STOPPED: 503,
  ERR_RENEW_FOREIGN: 403,
  ERR_ROTATION_BEHIND: 503,
  ERR_ROTATION_NO_ISSUER: 503,
  ERR_SIGNER_TOKEN_LOST: 503,
  ERR_SIGNER_TOKEN_TIMEOUT: 503,
  ERR_SIGNER_TOKEN_FAILED: 503,
  ERR_SIGNER_TOKEN_PIN: 503,
  ERR_SIGNER_KMS_REFUSED: 503,
  ERR_SIGNER_KMS_UNREACHABLE: 503,
  ERR_REVOKE_FORBIDDEN: 403,
};

export interface Refusal {
  /** A Denial, or anything thrown. */
  readonly cause: unknown;
  readonly caller: Caller;
  readonly audience: Audience;
  readonly id: string;
  /** What was asked, for the log. */
  readonly asked: string;
}

/** Answers a refusal: a problem document for the caller, the detail for the log, the same opaque id on both. */
export function answerProblem(response: ServerResponse, refusal: Refusal, log: Log): ErrorCode {
  const { cause, id, audience } = refusal;
  const refused = isDenial(cause) ? cause : problemCauseOf(cause);
  const status = statuses[refused.code] ?? statusOfCode(refused.code);
  const { caller } = refusal;
  // Facts first: none of them may stand where the line's own words are looked for.
  const line = {
    ...(isDenial(cause) || cause instanceof CountersignError ? cause.fields : {}),
    id,
    code: refused.code,
    status,
    asked: refusal.asked,
    caller: nameOf(caller),
    ...(caller.kind === 'anonymous' ? { address: caller.address } : {}),
    ...(refused.code === 'ERR_INTERNAL' ? { err: cause } : {}),
  };
  // The queue tells of a storm; a line for each of its orders would be another.
  if (refused.code === 'ERR_API_BUSY') log.debug(line, `request sent away: ${refused.detail}`);
  else if (status >= 500) log.error(line, `request failed: ${refused.detail}`);
  else log.warn(line, `request refused: ${refused.detail}`);
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return refused.code;
  }
  const { retryAfterS } = isDenial(cause) ? cause.fields : {};
  const body = formatProblem(problemFrom(refused, { id, audience, status }));
  response.writeHead(status, {
    'content-type': problemContentType,
    'cache-control': 'no-store',
    'content-length': Buffer.byteLength(body),
    ...(retryAfterS !== undefined && { 'retry-after': String(retryAfterS) }),
  });
  response.end(body);
  return refused.code;
}

function isDenial(cause: unknown): cause is Denial {
  return typeof cause === 'object' && cause !== null && 'ok' in cause && cause.ok === false;
}
