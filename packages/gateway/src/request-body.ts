import { CountersignError } from '@countersign/base';
import type { ClientRequest } from './client/client-exchange.ts';

/**
 * The request's body piece by piece, as the upstream takes it: nothing is read ahead. Ending early leaves the client's
 * connection alone, so that it can still be answered.
 *
 * @throws CountersignError ERR_GATEWAY_BODY_TOO_LARGE while it is read
 */
export async function* requestBody(
  request: ClientRequest,
  maxBytes: number | undefined,
): AsyncGenerator<Uint8Array> {
  let total = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    total += (chunk as Uint8Array).byteLength;
    if (maxBytes !== undefined && total > maxBytes) {
      const detail = `request body of more than ${maxBytes} bytes`;
      throw new CountersignError('ERR_GATEWAY_BODY_TOO_LARGE', detail);
    }
    yield chunk as Uint8Array;
  }
}
