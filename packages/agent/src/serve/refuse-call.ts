import type { Denial, ErrorCode } from '@countersign/base';
import { status } from '@grpc/grpc-js';

/** What gRPC answers, and the words of the standard's own; the operator reads the rest in the log. */
const statuses: Readonly<Partial<Record<ErrorCode, readonly [status: status, details: string]>>> = {
  ERR_AGENT_HEADER: [status.INVALID_ARGUMENT, 'security header missing from request'],
  ERR_AGENT_PEER: [status.PERMISSION_DENIED, 'no identity issued'],
  ERR_AGENT_NO_IDENTITY: [status.PERMISSION_DENIED, 'no identity issued'],
  ERR_AGENT_EVICTED: [status.PERMISSION_DENIED, 'no identity issued'],
  ERR_AGENT_NOT_YET: [status.UNAVAILABLE, 'the identity is not issued yet'],
};

export interface CallRefusal {
  readonly code: status;
  readonly details: string;
}

export function refusalOf({ code, detail }: Denial): CallRefusal {
  // What is wrong with a request or a token is its sender's to know.
  if (code === 'ERR_AGENT_REQUEST' || code.startsWith('ERR_JWT_')) {
    return invalid(`${detail} (${code})`);
  }
  const [grpc, details] = statuses[code] ?? [status.INTERNAL, 'the call failed'];
  return { code: grpc, details: `${details} (${code})` };
}

/** A request that says something that cannot be. */
export function invalid(details: string): CallRefusal {
  return { code: status.INVALID_ARGUMENT, details };
}
