import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { GatewayLimits } from '../gateway-config.ts';
import type { RefusedConnection } from '../handle-request.ts';
import type { Session } from '../session.ts';
import type { H2Front } from './h2-front.ts';
import type { HttpFront } from './http-front.ts';

export interface Fronts {
  readonly h1: HttpFront;
  readonly h2: H2Front;
}

/**
 * Hands a connection to the version of HTTP that was agreed to (ALPN). In clear text nothing is agreed to: there the
 * first octets tell, for HTTP/2 begins with its preface (RFC 9113 §3.3, §3.4).
 */
export function chooseFront(
  fronts: Fronts,
  socket: Socket,
  from: Session | RefusedConnection,
  { idleTimeout }: Pick<GatewayLimits, 'idleTimeout'>,
): void {
  if (socket instanceof TLSSocket) {
    const front = socket.alpnProtocol === 'h2' ? fronts.h2 : fronts.h1;
    return void front.take(socket, from);
  }
  const look = (): void => {
    const first = socket.read() as Buffer | null;
    if (first === null) return;
    socket.unshift(first);
    // No method but PRI begins so.
    if (first.byteLength < 3 && 'PRI'.startsWith(first.toString('latin1'))) return;
    socket.off('readable', look);
    socket.setTimeout(0);
    socket.off('timeout', idle);
    const isH2 = first.subarray(0, 3).toString('latin1') === 'PRI';
    (isH2 ? fronts.h2 : fronts.h1).take(socket, from);
  };
  const idle = (): void => void socket.destroy();
  socket.setTimeout(idleTimeout, idle);
  socket.on('readable', look);
}
