/** Codes of gRPC that are answered here, by their numbers on the wire (gRPC's statuscodes.md). */
export const grpcStatus = {
  ok: 0,
  invalidArgument: 3,
  deadlineExceeded: 4,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;

export type GrpcStatus = (typeof grpcStatus)[keyof typeof grpcStatus];

/** How a call ends; the details are for whoever called. */
export interface CallStatus {
  readonly code: GrpcStatus;
  readonly details: string;
}

export function callStatus(code: keyof typeof grpcStatus, details: string): CallStatus {
  return { code: grpcStatus[code], details };
}
