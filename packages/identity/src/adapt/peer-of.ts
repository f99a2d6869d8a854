import type { TLSSocket } from 'node:tls';
import { VerifiedPeer } from '@countersign/spiffe';

/** On the socket, since HTTP/2 shows its own only through a proxy. */
const evidence = Symbol('verified peer');

/** Remembers who is at the other end of a connection. */
export function notePeer(socket: TLSSocket, peer: VerifiedPeer): void {
  Object.defineProperty(socket, evidence, { value: peer });
}

/** A socket, or a request that knows its own: of `node:http`, `node:http2`, Express or Fastify. */
export interface HasPeer {
  readonly socket?: object | null;
  readonly raw?: { readonly socket?: object | null };
}

/**
 * Who sent a request, proved in its connection's handshake; undefined for a connection that did not come through
 * {@link secureServer}, or without a certificate.
 */
export function peerOf(of: object): VerifiedPeer | undefined {
  const { socket, raw } = of as HasPeer;
  for (const each of [of, socket, raw?.socket]) {
    const found: unknown = each == null ? undefined : Reflect.get(each, evidence);
    if (VerifiedPeer.is(found)) return found;
  }
  return undefined;
}
