import type { IncomingMessage, ServerResponse } from 'node:http';

/** What is served under a path, with all that caches need. */
export interface HttpDocument {
  readonly body: Uint8Array;
  readonly contentType: string;
  /** A strong validator, quotes included. */
  readonly etag: string;
  /** As HTTP writes dates. */
  readonly lastModified: string;
  readonly cacheControl: string;
  readonly expires?: string | undefined;
}

/** GET or HEAD of a document: whole, or that it has not changed (RFC 9110 §13). @returns the status */
export function answerDocument(
  request: IncomingMessage,
  response: ServerResponse,
  document: HttpDocument,
): 200 | 304 {
  const { body, contentType, etag, lastModified, cacheControl, expires } = document;
  const validators = ['ETag', etag, 'Last-Modified', lastModified, 'Cache-Control', cacheControl];
  if (expires !== undefined) validators.push('Expires', expires);
  if (isUnchanged(request, document)) {
    response.writeHead(304, validators).end();
    return 304;
  }
  validators.push('Content-Type', contentType, 'Content-Length', String(body.byteLength));
  response.writeHead(200, validators);
  response.end(body);
  return 200;
}

/** RFC 9110 §13.2.2: a tag, where one is sent, decides alone. */
function isUnchanged({ headers }: IncomingMessage, { etag, lastModified }: HttpDocument): boolean {
  const tags = headers['if-none-match'];
  if (tags !== undefined) {
    return (
      tags.trim() === '*' || tags.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag)
    );
  }
  const since = headers['if-modified-since'];
  return since !== undefined && Date.parse(since) >= Date.parse(lastModified);
}
