import type { IncomingMessage } from 'node:http';
import { CountersignError, concatBytes } from '@countersign/base';
import type { Route } from '@countersign/wire';

/**
 * The whole body of a request, within the route's limit: one that announces more is refused unread, one that turns out
 * longer is refused at the limit. How long it may take is bounded by the server's request time-out.
 *
 * @throws CountersignError ERR_WIRE_TOO_LARGE, ERR_WIRE_MEDIA_TYPE; the request's own error where the client left
 */
export async function readBody(request: IncomingMessage, route: Route): Promise<Uint8Array> {
  mustFit(request, route);
  if (route.method === 'POST') checkContentType(request, route);
  return await wholeOf(request, route);
}

/** As {@link readBody}, of whatever type: an edge for another protocol looks at that itself. */
export async function readAnyBody(request: IncomingMessage, limit: BodyLimit): Promise<Uint8Array> {
  mustFit(request, limit);
  return await wholeOf(request, limit);
}

export interface BodyLimit {
  /** What is asked, for the refusal. */
  readonly name: string;
  readonly maxBodyBytes: number;
}

function mustFit(request: IncomingMessage, limit: BodyLimit): void {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > limit.maxBodyBytes) throw tooLarge(limit, `${announced} bytes`);
}

/** By its events: reading it as an async iterable costs several times as much. */
function wholeOf(request: IncomingMessage, route: BodyLimit): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const left = () => reject(request.errored);
    if (request.destroyed) return left();
    const parts: Uint8Array[] = [];
    let length = 0;
    request.on('data', (part: Uint8Array) => {
      length += part.byteLength;
      if (length <= route.maxBodyBytes) return void parts.push(part);
      // The rest is nobody's: the connection ends with the refusal.
      request.pause().removeAllListeners('data');
      reject(tooLarge(route, 'more'));
    });
    request.once('end', () => {
      const [first, ...more] = parts;
      resolve(first !== undefined && more.length === 0 ? first : concatBytes(...parts));
    });
    request.once('error', left);
    request.once('close', left);
  });
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

function tooLarge(route: BodyLimit, found: string): CountersignError {
  return new CountersignError(
    'ERR_WIRE_TOO_LARGE',
    `${route.name} request has ${found}, at most ${route.maxBodyBytes} bytes are read`,
    { fields: { maxBytes: route.maxBodyBytes } },
  );
}
