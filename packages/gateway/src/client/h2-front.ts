import {
  constants,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Clock, type Log, messageOf } from '@countersign/base';
import type { GatewayLimits } from '../gateway-config.ts';
import type { RefusedConnection } from '../handle-request.ts';
import { Session } from '../session.ts';
import type { ClientExchange, ClientRequest } from './client-exchange.ts';
import { FrameBudget } from './frame-budget.ts';
import { readH2RequestHead } from './h2-request-head.ts';
import { H2Response } from './h2-response.ts';

export interface H2FrontOptions {
  readonly limits: GatewayLimits;
  readonly onExchange: (exchange: ClientExchange) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export interface H2Front {
  /** Speaks HTTP/2 on an established connection from now on. */
  take(socket: Socket, from: Session | RefusedConnection): void;
  /** Ends every connection at once. */
  close(): void;
}

/**
 * HTTP/2 over connections that are handed to it. What a stranger can make it do is bounded: streams, header sizes and
 * windows by the protocol's settings, resets and control frames by rate (CVE-2023-44487, CVE-2019-9512, -9515), frames
 * that are no requests by nghttp2 (continuations, empty frames, priorities).
 */
export function createH2Front(options: H2FrontOptions): H2Front {
  const { limits, log } = options;
  const sessions = new Set<ServerHttp2Session>();
  const sessionOptions = {
    settings: {
      enableConnectProtocol: true,
      initialWindowSize: streamWindow,
      maxConcurrentStreams: limits.maxConcurrentStreams,
      maxHeaderListSize: limits.maxHeaderBytes,
    },
    maxHeaderListPairs: mostHeaderFields,
    maxSettings: 32,
    // At least one stream a round trip may be given up; a storm of them ends the connection.
    streamResetBurst: 2 * limits.maxConcurrentStreams,
    streamResetRate: 100,
    strictSingleValueFields: false,
  };

  function take(socket: Socket, from: Session | RefusedConnection): void {
    const session = performServerHandshake(socket, sessionOptions);
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    session.on('error', (thrown) => log.debug({ reason: messageOf(thrown) }, 'h2 session broke'));
    session.setLocalWindowSize(connectionWindow);
    limitFrames(session, options);
    // RFC 9113 §9.1: an idle connection is closed with a word; a head that does not end is no request.
    session.setTimeout(limits.idleTimeout, () => {
      if (open.size === 0) session.destroy(undefined, constants.NGHTTP2_NO_ERROR);
    });
    const open = new Set<ServerHttp2Stream>();
    if (from instanceof Session) from.onRetire = () => session.close();
    session.on('stream', (stream, _headers, flags, received) => {
      open.add(stream);
      stream.once('close', () => open.delete(stream));
      stream.on('error', (thrown) => log.debug({ reason: messageOf(thrown) }, 'h2 stream broke'));
      if (limits.stallTimeout > 0) {
        stream.setTimeout(limits.stallTimeout, () => stream.close(constants.NGHTTP2_CANCEL));
      }
      options.onExchange(exchangeOf(stream, received, flags, from));
    });
  }

  return {
    take,
    close() {
      for (const session of sessions) session.destroy();
    },
  };
}

/** Room for bodies on their way; what is not read by the upstream waits here. */
const streamWindow = 256 * 1024;
const connectionWindow = 1024 * 1024;
/** Bounded by bytes as well. */
const mostHeaderFields = 512;

function exchangeOf(
  stream: ServerHttp2Stream,
  received: readonly string[],
  flags: number,
  from: Session | RefusedConnection,
): ClientExchange {
  const endsWithHead = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
  const { head, rawHeaders } = readH2RequestHead(received, !endsWithHead);
  const isReceived = () => endsWithHead || stream.readableEnded;
  const request: ClientRequest = {
    rawHeaders,
    get complete() {
      return isReceived();
    },
    iterator: (how) => stream.iterator(how),
  };
  const exchange: ClientExchange = {
    ...{ protocol: 'h2', request, response: new H2Response(stream, isReceived), from, head },
    continueBody() {
      if (expectsContinue(rawHeaders)) stream.additionalHeaders({ ':status': 100 });
    },
  };
  if (!head.ok || !head.isWebSocket) return exchange;
  return { ...exchange, openTunnel: (headers) => openTunnel(stream, headers) };
}

// RFC 8441 §5: 200 stands for 101.
function openTunnel(stream: ServerHttp2Stream, headers: string[]): Duplex {
  stream.respond([':status', '200', ...headers]);
  stream.setTimeout(0);
  return stream;
}

function expectsContinue(rawHeaders: readonly string[]): boolean {
  const at = rawHeaders.findIndex((name, i) => i % 2 === 0 && name === 'expect');
  return at >= 0 && rawHeaders[at + 1]?.toLowerCase() === '100-continue';
}

/** nghttp2 bounds what waits to be acknowledged; a client that reads the answers could ask for ever. */
function limitFrames(session: ServerHttp2Session, { clock, log }: H2FrontOptions): void {
  const budgets = {
    ping: new FrameBudget({ burst: 5000, perSecond: 1000, clock }),
    remoteSettings: new FrameBudget({ burst: 50, perSecond: 5, clock }),
  };
  for (const [event, budget] of Object.entries(budgets)) {
    session.on(event as 'ping', () => {
      if (budget.spend()) return;
      log.warn(
        { code: 'ERR_GATEWAY_FLOOD', event },
        `h2 connection ended: flood of ${event} frames`,
      );
      session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    });
  }
}
