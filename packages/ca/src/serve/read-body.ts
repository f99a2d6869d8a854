import type { IncomingMessage } from 'node:http';
import { CountersignError, concatBytes } from '@countersign/base';
import type { Route } from '@countersign/wire';

/**
 * The whole body of a request, within the route's limit: one that announces more is refused unread, one that turns out
 * longer is refused at the limit. How long it may take is bounded by the server's request time-out.
 *
 * @throws CountersignError ERR_WIRE_TOO_LARGE, ERR_WIRE_MEDIA_TYPE
 */
export async function readBody(request: IncomingMessage, route: Route): Promise<Uint8Array> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > route.maxBodyBytes) throw tooLarge(route, `${announced} bytes`);
  if (route.method === 'POST') checkContentType(request, route);
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Uint8Array>) {
    length += part.byteLength;
    if (length > route.maxBodyBytes) throw tooLarge(route, 'more');
    parts.push(part);
  }
  return concatBytes(...parts);
}

/** JSON alone: no form of a web page can send it across origins. */
function checkContentType(request: IncomingMessage, route: Route): void {
  const [type = ''] = (request.headers['content-type'] ?? '').split(';');
  if (type.trim().toLowerCase() === 'application/json') return;
  throw new CountersignError(
    'ERR_WIRE_MEDIA_TYPE',
    `${route.name} request has content type "${type.slice(0, 80)}", expected "application/json"`,
  );
}

function tooLarge(route: Route, found: string): CountersignError {
  return new CountersignError(
    'ERR_WIRE_TOO_LARGE',
    `${route.name} request has ${found}, at most ${route.maxBodyBytes} bytes are read`,
    { fields: { maxBytes: route.maxBodyBytes } },
  );
}
