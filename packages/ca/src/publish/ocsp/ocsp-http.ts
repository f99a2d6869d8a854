import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clock, CountersignError, concatBytes } from '@countersign/base';
import { decodeOcspGetPath, ocspRequestLimits } from '@countersign/x509';
import { answerDocument } from '../http-document.ts';
import type { OcspDesk } from './ocsp-desk.ts';
import { errorReply, type OcspReply } from './ocsp-reply.ts';

const contentType = 'application/ocsp-response';

/**
 * OCSP over HTTP (RFC 6960 Appendix A): the request in the path of a GET, or in the body of a POST. What a GET is
 * answered with may be kept by caches (RFC 5019 §6). @returns the status
 */
export async function answerOcsp(
  desk: OcspDesk,
  clock: Clock,
  {
    path,
    request,
    response,
  }: {
    /** What follows the responder's path and a slash; undefined for a POST. */
    readonly path: string | undefined;
    readonly request: IncomingMessage;
    readonly response: ServerResponse;
  },
): Promise<number> {
  if (path !== undefined) {
    const reply = desk.atHand(path) ?? (await answerGet(desk, path));
    return sendKept(reply, clock, request, response);
  }
  const refused = refusalOf(request);
  if (refused !== undefined) return refuse(response, refused);
  const body = await bodyOf(request);
  if (body === undefined) return refuse(response, 413);
  const key = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1');
  return send(desk.atHand(key) ?? (await desk.answer(body, key)), response);
}

/** A GET that was asked before. Undefined: it has to be worked out. */
export function answerAtHand(
  desk: OcspDesk,
  clock: Clock,
  {
    path,
    request,
    response,
  }: {
    readonly path: string;
    readonly request: IncomingMessage;
    readonly response: ServerResponse;
  },
): 200 | 304 | undefined {
  const reply = desk.atHand(path);
  return reply === undefined ? undefined : sendKept(reply, clock, request, response);
}

function answerGet(desk: OcspDesk, path: string): Promise<OcspReply> | OcspReply {
  let bytes: Uint8Array;
  try {
    bytes = decodeOcspGetPath(path);
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return errorReply('malformedRequest');
  }
  return desk.answer(bytes, path);
}

function sendKept(
  reply: OcspReply,
  clock: Clock,
  request: IncomingMessage,
  response: ServerResponse,
): 200 | 304 {
  const { body, life } = reply;
  if (life === undefined) return send(reply, response);
  const { etag, lastModified, expires, nextUpdate } = life;
  const leftS = Math.max(0, Math.floor((nextUpdate - clock.now()) / 1000));
  const cacheControl = `max-age=${leftS}, public, no-transform, must-revalidate`;
  return answerDocument(request, response, {
    ...{ body, contentType, etag, lastModified, cacheControl, expires },
  });
}

function send({ body }: OcspReply, response: ServerResponse): 200 {
  response.writeHead(200, [
    ...['Content-Type', contentType],
    ...['Content-Length', String(body.byteLength)],
    ...['Cache-Control', 'no-store'],
  ]);
  response.end(body);
  return 200;
}

function refusalOf({ headers }: IncomingMessage): 413 | 415 | undefined {
  if (Number(headers['content-length'] ?? 0) > ocspRequestLimits.maxBytes) return 413;
  const [type = ''] = (headers['content-type'] ?? '').split(';');
  // RFC 6960 A.1
  return type.trim().toLowerCase() === 'application/ocsp-request' ? undefined : 415;
}

function refuse(response: ServerResponse, status: 413 | 415): number {
  // The rest of the body is nobody's: it would be taken for the next request.
  response.writeHead(status, { connection: 'close', 'content-length': 0 }).end();
  return status;
}

/** By its events: reading it as an async iterable costs several times as much. Undefined: too long. */
function bodyOf(request: IncomingMessage): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    let first: Uint8Array | undefined;
    let parts: Uint8Array[] | undefined;
    let length = 0;
    request.on('data', (part: Uint8Array) => {
      length += part.byteLength;
      if (length > ocspRequestLimits.maxBytes) {
        request.pause().removeAllListeners('data');
        resolve(undefined);
      } else if (first === undefined) first = part;
      else {
        parts ??= [first];
        parts.push(part);
      }
    });
    request.once('end', () =>
      resolve(parts === undefined ? (first ?? new Uint8Array()) : concatBytes(...parts)),
    );
    const left = (): void => reject(new Error('the client left amid its request'));
    request.once('error', left);
    request.once('close', left);
  });
}
