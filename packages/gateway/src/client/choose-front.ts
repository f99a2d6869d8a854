import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Clock } from '@countersign/base';
import { firstOctets } from '@countersign/mtls';
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
  clock: Clock,
): void {
  if (socket instanceof TLSSocket) {
    const front = socket.alpnProtocol === 'h2' ? fronts.h2 : fronts.h1;
    return void front.take(socket, from);
  }
  firstOctets(socket, { judge: beginsH2, waitMs: idleTimeout, clock }).then((found) => {
    if (socket.destroyed) return;
    if (found.kind !== 'told') return void socket.destroy();
    (found.told ? fronts.h2 : fronts.h1).take(socket, from);
  });
}

/** No method but PRI begins so. */
function beginsH2(octets: Buffer): boolean | undefined {
  const start = octets.subarray(0, 3).toString('latin1');
  if (start.length < 3 && 'PRI'.startsWith(start)) return undefined;
  return start === 'PRI';
}
