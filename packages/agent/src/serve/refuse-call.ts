import type { Denial, ErrorCode } from '@countersign/base';
import { type CallStatus, callStatus, type grpcStatus } from '../grpc/grpc-status.ts';

/** What gRPC answers, and the words of the standard's own; the operator reads the rest in the log. */
const statuses: Readonly<
  Partial<Record<ErrorCode, readonly [status: keyof typeof grpcStatus, details: string]>>
> = {
  ERR_AGENT_HEADER: ['invalidArgument', 'security header missing from request'],
  ERR_AGENT_PEER: ['permissionDenied', 'no identity issued'],
  ERR_AGENT_NO_IDENTITY: ['permissionDenied', 'no identity issued'],
  ERR_AGENT_EVICTED: ['permissionDenied', 'no identity issued'],
  ERR_AGENT_NOT_YET: ['unavailable', 'the identity is not issued yet'],
};

export function refusalOf({ code, detail }: Denial): CallStatus {
  // What is wrong with a request or a token is its sender's to know.
  if (code === 'ERR_AGENT_REQUEST' || code.startsWith('ERR_JWT_')) {
    return invalid(`${detail} (${code})`);
  }
  const [status, details] = statuses[code] ?? ['internal', 'the call failed'];
  return callStatus(status, `${details} (${code})`);
}

/** A request that says something that cannot be. */
export function invalid(details: string): CallStatus {
  return callStatus('invalidArgument', details);
}
