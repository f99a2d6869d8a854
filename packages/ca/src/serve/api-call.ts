import type { ServerResponse } from 'node:http';
import type { Denial } from '@countersign/base';
import type { LiveConnection } from '@countersign/mtls';
import type { VerifiedPeer } from '@countersign/spiffe';
import type { Route } from '@countersign/wire';

interface PeerCaller {
  readonly kind: 'peer';
  readonly peer: VerifiedPeer;
  readonly live: LiveConnection;
}

/** Who is asking, as the transport proved it. */
export type Caller =
  | { readonly kind: 'anonymous'; readonly address: string }
  | PeerCaller
  /** Whoever may open the admin socket. */
  | { readonly kind: 'operator' };

/** One request, routed and allowed to be asked. */
export interface ApiCall {
  readonly route: Route;
  readonly caller: Caller;
  /** As it was sent, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Whole, within the route's limit. */
  readonly body: Uint8Array;
  /** Opaque: the answer of a refusal and its log line have the same. */
  readonly id: string;
  /** Aborted where the caller leaves before it is answered; for handlers that wait. */
  readonly left: () => AbortSignal;
}

export type ApiAnswer =
  | { readonly ok: true; readonly body: string }
  /** Takes the response over, to its end. */
  | { readonly ok: true; readonly stream: (response: ServerResponse) => Promise<void> }
  /** `proved`: whoever asks holds the token that it shows, and may know what is wrong with its own request. */
  | (Denial & { readonly proved?: true });

/** Log fields and ledger words that name a caller. */
export function nameOf(
  caller:
    | { readonly kind: 'anonymous' | 'operator' }
    | { readonly kind: 'key'; readonly spkiHash: string }
    | { readonly kind: 'door'; readonly name: string }
    | Pick<PeerCaller, 'kind' | 'peer'>,
): string {
  if (caller.kind === 'key') return `key ${caller.spkiHash}`;
  if (caller.kind === 'door') return caller.name;
  if (caller.kind !== 'peer') return caller.kind;
  return caller.peer.spiffeId?.toString() ?? `serial ${caller.peer.serialHex}`;
}
