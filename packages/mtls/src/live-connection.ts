import type { Socket } from 'node:net';
import type { Denial } from '@countersign/base';
import type { VerifiedPeer } from '@countersign/spiffe';

/** Nobody proved anything, and that was allowed. Explicit, so that it can't be mistaken for a peer. */
export interface Anonymous {
  readonly kind: 'anonymous';
}

export const anonymous: Anonymous = Object.freeze({ kind: 'anonymous' });

export type PeerOf = VerifiedPeer | Anonymous;

export function isAnonymous(peer: PeerOf): peer is Anonymous {
  return 'kind' in peer && peer.kind === 'anonymous';
}

/** What the handshake showed beside the certificate. */
export interface HandshakeFacts {
  /** Name of the listener that accepted, or of the dialer's purpose. */
  readonly name: string;
  /** Which of the listener's chains met it; its name where it has one alone. */
  readonly chain?: string;
  readonly direction: 'inbound' | 'outbound';
  /** Who began the connection: the client that a trusted proxy told of, else the other end. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** The other end of the TCP connection. */
  readonly sourceAddress: string;
  /** Our own end of it. */
  readonly localAddress: string;
  readonly localPort: number;
  /** `TLSv1.2` or `TLSv1.3`; empty in clear text. */
  readonly protocol: string;
  /** Whether a session ticket stood for the certificate exchange. */
  readonly resumed: boolean;
  /**
   * The server name that the client sent, lowercase. A resumed TLS 1.2 session does not tell: there they are those
   * that this certificate's holder sent in full handshakes. Empty: none was sent.
   */
  readonly serverNames: readonly string[];
}

/** One established connection, from its verified handshake to its end. */
export interface LiveConnection {
  /** Unique in this process; for logs. */
  readonly id: number;
  readonly peer: PeerOf;
  readonly facts: HandshakeFacts;
  /** A TLSSocket, unless the connection is in clear text. */
  readonly socket: Socket;
  /** Milliseconds since the epoch. */
  readonly openedAt: number;
  /** Destroys the socket at once, counted and logged with the code of `reason`. Later calls do nothing. */
  cut(reason: Denial): void;
}
