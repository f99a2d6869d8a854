import type { Duplex } from 'node:stream';
import type { ErrorCode } from '@countersign/base';
import { type Audience, formatProblem, problemContentType, problemFrom } from '@countersign/wire';
import type { ClientExchange, ClientResponse } from './client/client-exchange.ts';
import { grpcStatusOf } from './grpc.ts';

/** What a client is told when its request does not get to an upstream: RFC 9457, the detail stays in our log. */
export interface ProblemAnswer {
  readonly code: ErrorCode;
  readonly detail: string;
  /** Look-up id; the log line has the same one. */
  readonly id: string;
  readonly audience: Audience;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** Whether the connection ends with this answer. */
  readonly close: boolean;
}

/** HTTP status by code; every other refusal is a 403. */
const statuses: Readonly<Partial<Record<ErrorCode, number>>> = {
  ERR_TLS_CLIENT_CERTIFICATE_MISSING: 401,
  // RFC 6750 §3.1; of an audience that is not ours Envoy says 403.
  ERR_JWT_FORM: 401,
  ERR_JWT_ALGORITHM: 401,
  ERR_JWT_ISSUER: 401,
  ERR_JWT_KEYS: 401,
  ERR_JWT_KEY: 401,
  ERR_JWT_SIGNATURE: 401,
  ERR_JWT_EXPIRED: 401,
  ERR_JWT_NOT_YET_VALID: 401,
  ERR_GATEWAY_TARGET: 400,
  ERR_GATEWAY_FRAMING: 400,
  ERR_GATEWAY_HOST: 400,
  ERR_GATEWAY_MALFORMED: 400,
  ERR_GATEWAY_NO_ROUTE: 404,
  ERR_GATEWAY_BODY_TOO_LARGE: 413,
  // RFC 9110 §15.5.20: on a connection that this name was not verified for.
  ERR_GATEWAY_MISDIRECTED: 421,
  // RFC 6585 §4
  ERR_GATEWAY_RATE_LIMITED: 429,
  ERR_GATEWAY_IDENTITY_BUSY: 429,
  ERR_GATEWAY_OVERLOADED: 503,
  ERR_GATEWAY_UPGRADE: 501,
  ERR_GATEWAY_SELF_REVOKED: 503,
  ERR_GATEWAY_STOPPING: 503,
  ERR_INTERNAL: 500,
  ERR_UPSTREAM_UNREACHABLE: 503,
  ERR_UPSTREAM_NO_ENDPOINT: 503,
  ERR_UPSTREAM_OVERLOADED: 503,
  ERR_UPSTREAM_IDENTITY: 502,
  ERR_UPSTREAM_BROKE: 502,
  ERR_UPSTREAM_TIMEOUT: 504,
  ERR_UPSTREAM_PROTOCOL: 502,
  ERR_GATEWAY_DEADLINE: 504,
};

export function statusOf(code: ErrorCode): number {
  return statuses[code] ?? 403;
}

export function answerProblem(
  { protocol, response, head }: Pick<ClientExchange, 'protocol' | 'response' | 'head'>,
  answer: ProblemAnswer,
): void {
  const status = statusOf(answer.code);
  if (head.ok && head.isGrpc) return void answerGrpcProblem(response, answer, status);
  const body = formatProblem(problemFrom(answer, { ...answer, status }));
  const headers = [
    ...['Content-Type', problemContentType],
    ...['Content-Length', String(Buffer.byteLength(body))],
    ...['Cache-Control', 'no-store'],
    ...(answer.headers ?? []).flat(),
  ];
  if (status === 401 && answer.code.startsWith('ERR_JWT_')) {
    headers.push('WWW-Authenticate', 'Bearer error="invalid_token"');
  }
  // RFC 9113 §8.2.2: HTTP/2 ends connections by other means.
  if (answer.close && protocol === 'h1') headers.push('Connection', 'close');
  response.writeHead(status, headers);
  response.end(body);
}

/** A gRPC client looks for its own status; the code and id are its message, the rest stays in our log. */
function answerGrpcProblem(
  response: ClientResponse,
  { code, id, audience }: ProblemAnswer,
  status: number,
): void {
  const message = audience === 'stranger' ? `refused, id ${id}` : `${code}, id ${id}`;
  const headers = [
    ...['content-type', 'application/grpc'],
    ...['grpc-status', String(grpcStatusOf(code, status))],
    ...['grpc-message', message],
  ];
  if (response.writeWhole !== undefined) return void response.writeWhole(200, headers);
  response.writeHead(200, headers);
  response.end();
}

/** For sockets on which no request could be parsed. @param status overrides that of the code */
export function writeProblem(socket: Duplex, answer: ProblemAnswer, status: number): void {
  if (!socket.writable) return void socket.destroy();
  const problem = problemFrom(answer, { ...answer, status });
  const body = formatProblem(problem);
  socket.end(
    `HTTP/1.1 ${status} ${reasons[status] ?? 'Error'}\r\nconnection: close\r\n` +
      `content-type: ${problemContentType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

const reasons: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
};
