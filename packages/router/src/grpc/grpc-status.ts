import { CountersignError } from '@countersign/base';

/** gRPC status codes, by number. */
const statuses = [
  ...([
    'OK',
    'CANCELLED',
    'UNKNOWN',
    'INVALID_ARGUMENT',
    'DEADLINE_EXCEEDED',
    'NOT_FOUND',
  ] as const),
  ...([
    'ALREADY_EXISTS',
    'PERMISSION_DENIED',
    'RESOURCE_EXHAUSTED',
    'FAILED_PRECONDITION',
  ] as const),
  ...(['ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE'] as const),
  ...(['DATA_LOSS', 'UNAUTHENTICATED'] as const),
] as const;

export type GrpcStatus = (typeof statuses)[number];

/** Those that are about what was asked, which callers may know; others speak of the inside. */
const forCallers: ReadonlySet<string> = new Set<GrpcStatus>([
  ...(['INVALID_ARGUMENT', 'NOT_FOUND', 'ALREADY_EXISTS', 'PERMISSION_DENIED'] as const),
  ...(['RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE'] as const),
]);

/** The status of an answer's trailers, as what it throws; undefined: OK. */
export function statusFailure(code: string, message: string): CountersignError | undefined {
  if (code === '0') return undefined;
  const status = statuses[Number(code)] ?? `status ${code.slice(0, 16)}`;
  const text = decoded(message);
  const told = text === '' ? '' : `: ${text}`;
  // The other side's deadline is ours, as it was told.
  const failure = status === 'DEADLINE_EXCEEDED' ? 'ERR_SUBGRAPH_TIMEOUT' : 'ERR_SUBGRAPH_STATUS';
  return new CountersignError(failure, `answered ${status}${told}`, { fields: { status } });
}

/** What of a failure's status a caller may know. */
export function statusForCaller(fields: Readonly<Record<string, unknown>>): string | undefined {
  const { status } = fields;
  return typeof status === 'string' && forCallers.has(status) ? status : undefined;
}

// gRPC over HTTP/2, "Status-Message": percent-encoded UTF-8; what is not well-formed is shown as it is.
function decoded(message: string): string {
  const cut = message.slice(0, 1000);
  try {
    return decodeURIComponent(cut);
  } catch {
    return cut;
  }
}
