import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type Log, nodeHttp } from '@countersign/base';

export interface HttpFrontOptions {
  readonly onRequest: (request: IncomingMessage, response: ServerResponse) => void;
  readonly onUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  readonly log: Log;
}

/** Node's HTTP/1.1 parser, strict; sockets of mTLS are handed to it with `emit('connection', socket)`. */
export function createHttpFront(options: HttpFrontOptions): Server {
  const server = nodeHttp().createServer(
    {
      insecureHTTPParser: false,
      requireHostHeader: true,
      maxHeaderSize: 16_384,
      headersTimeout: 10_000,
      requestTimeout: 60_000,
      keepAliveTimeout: 60_000,
      connectionsCheckingInterval: 1000,
    },
    options.onRequest,
  );
  server.on('upgrade', options.onUpgrade);
  server.on('clientError', (thrown: Error & { code?: string }, socket: Duplex) => {
    options.log.debug({ reason: thrown.code ?? thrown.message }, 'no HTTP request');
    if (!socket.writable || thrown.code === 'ECONNRESET') return void socket.destroy();
    const status = statuses[thrown.code ?? ''] ?? '400 Bad Request';
    socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
  });
  return server;
}

const statuses: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};
