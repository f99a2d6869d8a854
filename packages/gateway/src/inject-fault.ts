import type { Clock } from '@countersign/base';
import type { ClientExchange } from './client/client-exchange.ts';
import type { FaultModel } from './model/route-model.ts';
import type { RequestHead } from './request-head.ts';

export interface FaultSurroundings {
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
}

/**
 * Delays a request, and answers instead of its upstream, as the route says, for trials of what callers do then.
 *
 * @returns the status that was answered; undefined where the request is to go on
 */
export async function injectFault(
  { delay, abort }: FaultModel,
  { request, response, protocol }: ClientExchange,
  head: RequestHead,
  { clock, random }: FaultSurroundings,
): Promise<number | undefined> {
  const falls = (percent: number) => random() * 100 < percent;
  if (delay !== undefined && falls(delay.percent)) {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    await clock.sleep(delay.ms, { signal: gone.signal }).catch(() => {});
    // Nobody is there any more to be answered.
    if (gone.signal.aborted) return 0;
  }
  if (abort === undefined || !falls(abort.percent)) return undefined;
  if (head.isGrpc) {
    const grpcStatus = String(abort.grpcStatus ?? grpcStatuses[abort.status] ?? 2);
    const headers = ['content-type', 'application/grpc', 'grpc-status', grpcStatus];
    headers.push('grpc-message', 'fault filter abort');
    if (response.writeWhole !== undefined) response.writeWhole(200, headers);
    else {
      response.writeHead(200, headers);
      response.end();
    }
    return 200;
  }
  const body = 'fault filter abort';
  const length = String(Buffer.byteLength(body));
  const headers = ['Content-Type', 'text/plain', 'Content-Length', length];
  // What is left of an unread request body would be taken for the next request.
  if (protocol === 'h1' && head.hasBody && !request.complete) headers.push('Connection', 'close');
  response.writeHead(abort.status, headers);
  response.end(head.method === 'HEAD' ? undefined : body);
  return abort.status;
}

/** As the gRPC specification maps HTTP statuses. */
const grpcStatuses: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 14,
};
