import type { Duplex } from 'node:stream';
import type { Denial } from '@countersign/base';
import type { RefusedConnection } from '../handle-request.ts';
import type { RequestHead } from '../request-head.ts';
import type { Session } from '../session.ts';

/** What is read of a request beside its head; Node's own for HTTP/1.1. */
export interface ClientRequest {
  /** Names and values alternating, `host` included. */
  readonly rawHeaders: readonly string[];
  /** Whether all of it was received. */
  readonly complete: boolean;
  iterator(options: { readonly destroyOnReturn: boolean }): AsyncIterable<unknown>;
}

/** What a response is written with; Node's own for HTTP/1.1. */
export interface ClientResponse {
  readonly headersSent: boolean;
  readonly writableFinished: boolean;
  /** @param headers names and values alternating */
  writeHead(status: number, headers: string[]): unknown;
  /** The head of a response that has nothing else, where the protocol tells that from an empty body. */
  writeWhole?(status: number, headers: string[]): void;
  /** @returns false where `drain` should be waited for */
  write(chunk: Uint8Array): boolean;
  /** To be sent after the body, where the protocol can. */
  addTrailers(trailers: readonly [string, string][]): void;
  end(body?: string): unknown;
  /** Breaks it off, so that the client can tell that it is not whole. */
  destroy(): unknown;
  once(event: 'close' | 'drain', listener: () => void): unknown;
}

/** One request of a client and the response to it, whatever protocol it came by. */
export interface ClientExchange {
  readonly protocol: 'h1' | 'h2';
  readonly request: ClientRequest;
  readonly response: ClientResponse;
  /** Who asks: as the handshake found out. */
  readonly from: Session | RefusedConnection | undefined;
  readonly head: RequestHead | Denial;
  /** Tells the client to send its body, where it asked first. */
  continueBody(): void;
  /** Present where the request asks for a tunnel: tells the client that it stands, and gives its bytes. */
  readonly openTunnel?: (headers: string[]) => Duplex;
}
