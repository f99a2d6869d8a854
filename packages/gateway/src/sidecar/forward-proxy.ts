import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  type Clock,
  CountersignError,
  type Denial,
  denial,
  type Log,
  nodeHttp,
} from '@countersign/base';
import { downstreamHeaders, upstreamHeaders } from '../forwarded-headers.ts';
import type { RefusedConnection } from '../handle-request.ts';
import { statusOf } from '../problem-response.ts';
import { type RequestHead, readRequestHead } from '../request-head.ts';
import type { Session } from '../session.ts';
import { splice } from '../splice.ts';
import { type OutboundWays, outboundIdleMs } from './outbound-ways.ts';
import { type ProxyTarget, readAbsoluteTarget, readConnectTarget } from './proxy-target.ts';

type From = Session | RefusedConnection | undefined;

/** What an HTTP front does differently where it is a forward proxy. */
export interface ForwardProxy {
  /** Makes of the request that a proxy is sent the one that its destination gets, in place. */
  readHead(request: IncomingMessage): RequestHead | Denial;
  /** Whether the request is for who is in no configuration, and was taken. */
  takesOver(request: IncomingMessage, response: ServerResponse): boolean;
  /** @param first what came after the request already */
  connect(request: IncomingMessage, socket: Duplex, first: Buffer, from: From): void;
}

export interface ForwardProxyOptions {
  readonly ways: OutboundWays;
  /** @param opened called once bytes are passed on @param failed instead */
  readonly onTunnel: (
    session: Session,
    cluster: string,
    told?: { readonly opened: () => void; readonly failed: () => void },
  ) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** The HTTP proxy of a sidecar: absolute-form requests, and CONNECT for everything else. */
export function createForwardProxy({
  ways,
  onTunnel,
  clock,
  log,
}: ForwardProxyOptions): ForwardProxy {
  function refuse(socket: Duplex, refused: Denial): void {
    log.warn({ code: refused.code, ...refused.fields }, `proxy refused: ${refused.detail}`);
    const status = statusOf(refused.code);
    socket.end(
      `HTTP/1.1 ${status} ${refused.code}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
    );
  }

  async function passOn(
    request: IncomingMessage,
    response: ServerResponse,
    target: ProxyTarget,
  ): Promise<void> {
    const socket = await ways.openUnknown(target, request.socket);
    const headers = upstreamHeaders(withHost(request.rawHeaders, target.authority), []);
    const { method = 'GET' } = request;
    const sent = nodeHttp().request({
      ...{ method, path: target.target, headers, setHost: false },
      createConnection: () => socket,
    });
    response.once('close', () => sent.destroy());
    await new Promise<void>((resolve, reject) => {
      sent.once('error', reject);
      sent.once('response', (answer: IncomingMessage) => {
        answer.once('error', () => response.destroy());
        response.writeHead(answer.statusCode ?? 502, downstreamHeaders(answer.rawHeaders));
        answer.pipe(response);
        resolve();
      });
      request.pipe(sent);
    });
  }

  return {
    readHead(request) {
      const target = readAbsoluteTarget(request.url ?? '');
      if (!target.ok) return target;
      const found = ways.find(target);
      if (found === 'unknown')
        return denial('ERR_INTERNAL', 'an unknown destination was not taken');
      if ('ok' in found) return found;
      if (found.protocol !== 'http') {
        const detail = `"${target.authority}" speaks ${found.protocol}, ask for it with CONNECT`;
        return denial('ERR_UPSTREAM_PROTOCOL', detail);
      }
      request.url = target.target;
      request.rawHeaders = withHost(request.rawHeaders, target.authority);
      return readRequestHead(request);
    },
    takesOver(request, response) {
      const target = readAbsoluteTarget(request.url ?? '');
      if (!target.ok || ways.find(target) !== 'unknown') return false;
      passOn(request, response, target).catch((thrown) => {
        const code = thrown instanceof CountersignError ? thrown.code : 'ERR_UPSTREAM_BROKE';
        log.warn({ host: target.host, port: target.port, code }, 'proxy failed');
        if (response.headersSent) return void response.destroy();
        const status = code === 'ERR_SIDECAR_GUARDED' ? 403 : 502;
        response.writeHead(status, { connection: 'close' }).end();
      });
      return true;
    },
    connect(request, socket, first, from) {
      if (from === undefined || 'refusal' in from) return void socket.destroy();
      const target = readConnectTarget(request.url ?? '');
      if (!target.ok) return void refuse(socket, target);
      const found = ways.find(target);
      if (found !== 'unknown' && 'ok' in found) return void refuse(socket, found);
      if (first.byteLength > 0) socket.unshift(first);
      const opened = (): void => void socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      const failed = (code: string): void => {
        const status = code === 'ERR_SIDECAR_GUARDED' ? 403 : 502;
        socket.end(`HTTP/1.1 ${status} ${code}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
      };
      if (found !== 'unknown') {
        // Whatever it speaks, its bytes are passed on.
        from.goes({ name: found.name, protocol: 'tcp' });
        const told = { opened, failed: () => failed('ERR_UPSTREAM_UNREACHABLE') };
        return void onTunnel(from, found.name, told);
      }
      ways.openUnknown(target, socket).then(
        (upstream) => {
          opened();
          void splice(socket, upstream, { idleMs: outboundIdleMs, clock });
        },
        (thrown) => {
          const code = thrown instanceof CountersignError ? thrown.code : 'ERR_INTERNAL';
          log.warn({ host: target.host, port: target.port, code }, 'proxy failed');
          failed(code);
        },
      );
    },
  };
}

// RFC 9112 §3.2.2: what stands in the Host header is replaced by the host of the target.
function withHost(raw: readonly string[], authority: string): string[] {
  const headers = ['Host', authority];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (raw[i]?.toLowerCase() !== 'host') headers.push(raw[i] ?? '', raw[i + 1] ?? '');
  }
  return headers;
}
