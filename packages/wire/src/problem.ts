import {
  CountersignError,
  codeTable,
  type ErrorCode,
  isErrorCode,
  nodeHttp,
} from '@countersign/base';
import { parseJsonBody, readMessage } from './read-message.ts';

/**
 * Who reads a problem. A `stranger` learns that it was refused and an id that the operator can look up; a `caller`,
 * who spoke our API in good order, learns the code as well; a `requester`, who proved itself, also the detail of what is
 * wrong with its own request; an `operator`, who proved to be one, every detail.
 */
export type Audience = 'stranger' | 'caller' | 'requester' | 'operator';

/** Refusals that speak of what was sent and what is granted, and of nothing else that the authority knows. */
const aboutRequest = [
  ...['ERR_WIRE_', 'ERR_CSR_', 'ERR_DER_', 'ERR_POLICY_', 'ERR_PROOF_'],
  // Told to holders of a token that verifies: what else it lacks.
  ...['ERR_PROVISIONER_CLAIMS', 'ERR_PROVISIONER_USED', 'ERR_PROVISIONER_RATE'],
];

export function isAboutRequest(code: ErrorCode): boolean {
  return aboutRequest.some((prefix) => code.startsWith(prefix));
}

/** RFC 9457. `code`, `id` are extension members. */
export interface Problem {
  /** `about:blank`, or `urn:countersign:error:ERR_…` where the code is told. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  /** Opaque; the log line of the refusal has the same one. */
  readonly id: string;
  readonly code?: ErrorCode;
  readonly detail?: string;
}

export const problemContentType = 'application/problem+json';

/** What was refused (a Denial) or broke (an error); anything else thrown counts as ERR_INTERNAL. */
export interface ProblemCause {
  readonly code: ErrorCode;
  readonly detail: string;
}

export function problemCauseOf(thrown: unknown): ProblemCause {
  if (thrown instanceof CountersignError) return { code: thrown.code, detail: thrown.message };
  // A foreign error's message may hold anything: it goes to the log, not over the wire.
  return { code: 'ERR_INTERNAL', detail: 'an assumption of the program did not hold' };
}

/**
 * @param options.id opaque and random, from the caller, who logs it with the detail
 * @param options.status HTTP status; by the code's family unless given
 */
export function problemFrom(
  cause: ProblemCause,
  options: { readonly id: string; readonly audience: Audience; readonly status?: number },
): Problem {
  const status = options.status ?? statusOfCode(cause.code);
  if (options.audience === 'stranger') {
    const title = nodeHttp().STATUS_CODES[status] ?? 'Refused';
    return { type: 'about:blank', title, status, id: options.id };
  }
  const { audience } = options;
  const isDetailed =
    audience === 'operator' || (audience === 'requester' && isAboutRequest(cause.code));
  return {
    type: `urn:countersign:error:${cause.code}`,
    title: codeTable[cause.code].meaning,
    status,
    id: options.id,
    code: cause.code,
    ...(isDetailed ? { detail: cause.detail } : {}),
  };
}

export function formatProblem(problem: Problem): string {
  return `${JSON.stringify(problem)}\n`;
}

/** The longest prefix wins. Refusals of a request's content are 400, of its sender 403, of ourselves 500. */
const statusByPrefix: readonly (readonly [prefix: string, status: number])[] = [
  ['ERR_WIRE_', 400],
  ['ERR_WIRE_TOO_LARGE', 413],
  ['ERR_WIRE_ROUTE', 404],
  ['ERR_WIRE_MEDIA_TYPE', 415],
  ['ERR_WIRE_UNSUPPORTED', 422],
  ['ERR_DER_', 400],
  ['ERR_PEM', 400],
  ['ERR_CSR_', 422],
  ['ERR_CERT_', 403],
  ['ERR_PATH_', 403],
  ['ERR_PEER_', 403],
  ['ERR_SPIFFE_', 422],
  ['ERR_JWT_', 403],
  ['ERR_JWT_OFF', 404],
  ['ERR_JWT_KEYS', 503],
  ['ERR_PROVISIONER_', 403],
  ['ERR_PROVISIONER_RATE', 429],
  ['ERR_PROVISIONER_FILE', 500],
  ['ERR_ENTRY_', 422],
  ['ERR_ENTRY_UNKNOWN', 404],
  ['ERR_ENTRY_EXISTS', 409],
  ['ERR_AUTHZ_', 403],
  ['ERR_REVOCATION_', 403],
  ['ERR_TOKEN_', 403],
  ['ERR_POLICY_', 403],
  ['ERR_TIMEOUT', 504],
];

export function statusOfCode(code: ErrorCode): number {
  let status = 500;
  let length = 0;
  for (const [prefix, each] of statusByPrefix) {
    if (!code.startsWith(prefix) || prefix.length <= length) continue;
    status = each;
    length = prefix.length;
  }
  return status;
}

/** What a client makes of an answer of 400 and above. */
export interface ReceivedProblem {
  readonly status: number;
  readonly id?: string;
  /** A code of our table; others are dropped, not believed. */
  readonly code?: ErrorCode;
  readonly detail?: string;
  /** After which it may be asked again, by the answer's `Retry-After`. */
  readonly retryAfterMs?: number | undefined;
}

/** @throws CountersignError ERR_WIRE_JSON, ERR_WIRE_MESSAGE for a body that is no problem document */
export function parseProblem(body: Uint8Array, status: number): ReceivedProblem {
  const json = parseJsonBody(body, 'problem document', 64 * 1024);
  return readMessage(
    'problem document',
    json,
    (m) => {
      const code = m.optional('code', (name) => m.text(name, { max: 128 }));
      const id = m.optional('id', (name) => m.text(name, { max: 128, pattern: /^[\x21-\x7e]+$/ }));
      const detail = m.optional('detail', (name) => m.text(name, { max: 8192 }));
      return {
        status,
        ...(id === undefined ? {} : { id }),
        ...(code === undefined || !isErrorCode(code) ? {} : { code }),
        ...(detail === undefined ? {} : { detail: printable(detail) }),
      };
    },
    { unknown: 'ignore' },
  );
}

/** The error that a client throws for it: the authority's own code where it told one. */
export function errorOfProblem(problem: ReceivedProblem, attempted: string): CountersignError {
  const reason =
    problem.detail ??
    (problem.code === undefined
      ? `the other side answered ${problem.status} ${nodeHttp().STATUS_CODES[problem.status] ?? ''}`.trimEnd()
      : lowerFirst(codeTable[problem.code].meaning.replace(/\.$/, '')));
  const lookUp = problem.id === undefined ? '' : ` (look-up id ${problem.id})`;
  const { status, id, retryAfterMs } = problem;
  return new CountersignError(
    problem.code ?? 'ERR_WIRE_REFUSED',
    `${attempted}: ${reason}${lookUp}`,
    { fields: { status, id, ...(retryAfterMs !== undefined && { retryAfterMs }) } },
  );
}

/** Terminal escapes have no place in a message that somebody prints. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, ' ');
}

function lowerFirst(sentence: string): string {
  return /^[A-Z][a-z]/.test(sentence)
    ? sentence.charAt(0).toLowerCase() + sentence.slice(1)
    : sentence;
}
