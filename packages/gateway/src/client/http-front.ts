import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { denial, type Log } from '@countersign/base';
import type { GatewayLimits } from './gateway-config.ts';
import { writeProblem } from './problem-response.ts';

export interface HttpFrontOptions {
  readonly limits: GatewayLimits;
  readonly onRequest: (
    request: IncomingMessage,
    response: ServerResponse,
    continueBody: () => void,
  ) => void;
  readonly newId: () => string;
  readonly log: Log;
}

/**
 * Node's HTTP/1.1 parser over sockets that are handed to it with `emit('connection', socket)`; it never listens by
 * itself. Strict: no lenient parsing, exactly one host, the limits of gateway.yaml.
 */
export function createHttpFront(options: HttpFrontOptions): Server {
  const { limits } = options;
  const server = createServer({
    insecureHTTPParser: false,
    requireHostHeader: false, // ours answers with a problem document
    rejectNonStandardBodyWrites: false,
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.headersTimeout,
    requestTimeout: limits.requestTimeout,
    keepAliveTimeout: limits.idleTimeout,
    connectionsCheckingInterval: 1000,
  });
  server.timeout = limits.stallTimeout;
  server.maxHeadersCount = 0; // bounded by bytes; a count would drop headers silently
  const answering = new Map<Duplex, number>();
  function take(request: IncomingMessage, response: ServerResponse, continueBody: () => void) {
    const { socket } = request;
    answering.set(socket, (answering.get(socket) ?? 0) + 1);
    response.once('close', () => {
      const left = (answering.get(socket) ?? 1) - 1;
      if (left > 0) answering.set(socket, left);
      else answering.delete(socket);
    });
    options.onRequest(request, response, continueBody);
  }
  server.on('request', (request, response) => take(request, response, () => {}));
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    take(request, response, () => response.writeContinue());
  });
  // RFC 9110 §9.3.6, §7.8: no tunnels.
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    refuse(options, socket, 501, 'ERR_GATEWAY_UPGRADE', 'CONNECT is not supported yet');
  });
  server.on('clientError', (thrown: Error & { code?: string }, socket: Duplex) => {
    // In the middle of another response a second one would be taken for its body.
    if (answering.has(socket)) return void destroySoon(socket);
    if (thrown.code === 'ECONNRESET') return void socket.destroy();
    const status = statuses[thrown.code ?? ''] ?? 400;
    refuse(options, socket, status, 'ERR_GATEWAY_MALFORMED', thrown.code ?? thrown.message);
  });
  // Starts Node's check of the time-outs, which a server that never listens would not do.
  server.emit('listening');
  return server;
}

function destroySoon(socket: Duplex): void {
  socket.end(() => socket.destroy());
}

const statuses: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

function refuse(
  options: HttpFrontOptions,
  socket: Duplex,
  status: number,
  code: 'ERR_GATEWAY_UPGRADE' | 'ERR_GATEWAY_MALFORMED',
  detail: string,
): void {
  const refused = denial(code, detail);
  const id = options.newId();
  options.log.warn({ id, status, code }, `request refused: ${detail}`);
  writeProblem(socket, { ...refused, id, audience: 'stranger', close: true }, status);
}
