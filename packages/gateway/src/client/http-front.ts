import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { denial, type Log, nodeHttp } from '@countersign/base';
import type { GatewayLimits } from '../gateway-config.ts';
import type { RefusedConnection } from '../handle-request.ts';
import { writeProblem } from '../problem-response.ts';
import { readRequestHead } from '../request-head.ts';
import type { Session } from '../session.ts';
import type { ForwardProxy } from '../sidecar/forward-proxy.ts';
import { webSocketAccept } from '../websocket-handshake.ts';
import type { ClientExchange } from './client-exchange.ts';

export interface HttpFrontOptions {
  readonly limits: GatewayLimits;
  readonly onExchange: (exchange: ClientExchange) => void;
  /** Where it is asked as a forward proxy; absent: it is none. */
  readonly proxy?: ForwardProxy;
  readonly newId: () => string;
  readonly log: Log;
}

export interface HttpFront {
  /** Speaks HTTP/1.1 on an established connection from now on. */
  take(socket: Duplex, from: Session | RefusedConnection): void;
  /** Ends the watch over time-outs; connections are their owner's. */
  close(): void;
}

/**
 * Node's HTTP/1.1 parser over connections that are handed to it; it never listens by itself. Strict: no lenient
 * parsing, exactly one host, the limits of gateway.yaml.
 */
export function createHttpFront(options: HttpFrontOptions): HttpFront {
  const known = new WeakMap<object, Session | RefusedConnection>();
  const server = strictServer(options.limits);
  const answering = new Map<Duplex, number>();
  const readHead = options.proxy?.readHead ?? readRequestHead;
  function take(request: IncomingMessage, response: ServerResponse, continueBody: () => void) {
    const { socket } = request;
    answering.set(socket, (answering.get(socket) ?? 0) + 1);
    response.once('close', () => {
      const left = (answering.get(socket) ?? 1) - 1;
      if (left > 0) answering.set(socket, left);
      else answering.delete(socket);
    });
    if (options.proxy?.takesOver(request, response) === true) return;
    const head = readHead(request);
    const from = known.get(socket);
    options.onExchange({ protocol: 'h1', request, response, from, head, continueBody });
  }
  server.on('request', (request, response) => take(request, response, nothing));
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    take(request, response, () => response.writeContinue());
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, first: Buffer) => {
    const from = known.get(socket);
    options.onExchange(upgradeOf(request, socket, first, { from, head: readHead(request) }));
  });
  // RFC 9110 §9.3.6: no tunnels to wherever a client says.
  server.on('connect', (request: IncomingMessage, socket: Duplex, first: Buffer) => {
    if (options.proxy !== undefined) {
      return void options.proxy.connect(request, socket, first, known.get(socket));
    }
    refuse(options, socket, 501, 'ERR_GATEWAY_UPGRADE', 'CONNECT is not supported');
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
  return {
    take(socket, from) {
      known.set(socket, from);
      server.emit('connection', socket);
    },
    close: () => void server.close(),
  };
}

const nothing = (): void => {};

function strictServer(limits: GatewayLimits): Server {
  const server = nodeHttp().createServer({
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
  return server;
}

const switching = ['HTTP/1.1 101 Switching Protocols', 'connection: upgrade', 'upgrade: websocket'];

/** The parser has let go of the connection: it is answered once, or becomes the tunnel. */
function upgradeOf(
  request: IncomingMessage,
  socket: Duplex,
  first: Buffer,
  { from, head }: Pick<ClientExchange, 'from' | 'head'>,
): ClientExchange {
  if (first.byteLength > 0) socket.unshift(first);
  const response = new (nodeHttp().ServerResponse)(request);
  response.shouldKeepAlive = false;
  response.assignSocket(request.socket);
  response.once('finish', () => socket.end());
  return {
    ...{ protocol: 'h1', request, response, from, head, continueBody: nothing },
    openTunnel(headers) {
      response.detachSocket(request.socket);
      request.socket.setTimeout(0);
      const { 'sec-websocket-key': key = '' } = request.headers;
      const lines = [...switching, `sec-websocket-accept: ${webSocketAccept(key)}`];
      for (let i = 0; i + 1 < headers.length; i += 2)
        lines.push(`${headers[i]}: ${headers[i + 1]}`);
      socket.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
      return socket;
    },
  };
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
